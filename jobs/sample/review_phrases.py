"""The sentences that a sample review is composed of: tables of phrases, and the frames that multiply them."""
# ruff: noqa: RUF001 - other scripts have letters that look like Latin ones

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from itertools import cycle, product
from typing import NamedTuple

# The first line of a product has its name, how to say "it", and its lowest and highest price. Then "+" and "-"
# start an aspect and what is good or bad about it, and "=" starts facts that are neither.
PRODUCTS = """
headphones: them, 29, 349
+ the battery | lasts a whole week | charges while I make tea | holds out through a long-haul flight
- the battery | dies before lunch | loses its charge overnight | needs a new charge every evening
+ the sound | is clear and warm | has real depth | stays clean even when I turn it up
- the sound | is thin and tinny | turns to mush at half volume | drops out every few minutes
+ the noise cancelling | silences the whole train | works even in the open-plan office | is pure magic
- the noise cancelling | hisses all the time | makes my ears ache | does next to nothing against voices
+ the headband | sits lightly on my head | fits my small head perfectly | feels soft after hours
- the headband | snapped within a month | presses like a clamp | creaks with every step
+ the Bluetooth connection | is made in a second | reaches into the garden | never stutters
- the Bluetooth connection | breaks whenever I turn my head | fails with my laptop | lags behind films
+ the microphone | carries my voice well | copes with wind | pleases my colleagues
- the microphone | makes me sound like a robot | picks up every keystroke | stopped working after an update
= I mostly wear them on the train | They came with a cable & a pouch | I listen to podcasts more than music
kettle: it, 19, 129
+ the lid | opens with one finger | closes with a satisfying click | fits tightly
- the lid | jams every single time | broke off at the hinge | spits hot water at me
+ the heating element | boils a litre in two minutes | works almost silently | still looks like new
- the heating element | roars like an aeroplane | is furred up already | gave up with a bang
+ the spout | pours without a drip | is slim enough for filter coffee | has a filter that catches everything
- the spout | dribbles all over the counter | pours sideways | clogs with lime
+ the temperature setting | is exact to the degree | remembers my green tea | is simple to use
- the temperature setting | is off by ten degrees | forgets itself after every boil | beeps in the night
+ the handle | stays cool | feels solid | sits well in a wet hand
- the handle | gets far too hot | wobbles | came loose in the first week
+ the switch | turns itself off reliably | lights up in a gentle blue | clicks nicely
- the switch | doesn't turn off by itself | sticks | glows so brightly that it lights the kitchen
= It holds 1.7 litres | We have very hard water here | I drink about six cups of tea a day
dress: it, 25, 189
+ the fabric | feels soft and cool | doesn't crease at all | drapes beautifully
- the fabric | is see-through | itches | smells of chemicals even after two washes
+ the stitching | is neat and strong | has survived a dozen washes | looks handmade
- the stitching | came undone at the first wear | is crooked | leaves loose threads everywhere
+ the fit | is true to size | flatters every curve | leaves room to breathe & dance
- the fit | is two sizes too small | is like a sack | bunches up at the waist
+ the colour | is even richer than in the photo | hasn't faded | goes with everything
- the colour | is nothing like the photo | bled onto my white shirts | washed out at once
+ the zip | glides smoothly | stays hidden | hasn't caught once
- the zip | jammed on my wedding anniversary | scratches my back | broke while I was wearing it
+ the neckline | sits just right | is flattering without showing too much | stays where it should
- the neckline | gapes whenever I sit down | is far too low for the office | stretched out of shape
= I am 1.68 m and ordered a medium | It goes down to my knees | The label says machine wash at 30 degrees
dog food: it, 12, 89
+ the smell | is surprisingly pleasant | makes my dog run to the bowl | is hardly there at all
- the smell | fills the whole house | makes me gag | is sour
+ the kibble size | suits our little terrier | makes him chew slowly | is just right for training
- the kibble size | is far too big for a puppy | varies from bag to bag | makes her choke
+ the list of ingredients | is short and honest | starts with real meat | is free of grain & sugar
- the list of ingredients | is mostly corn | changed without a word | hides a lot of sugar
+ the effect on his coat | shows after three weeks | is amazing | made the vet ask what we feed him
- the effect on her stomach | was awful | cost us two visits to the vet | showed within hours
+ the bag | closes tightly with its zip | keeps everything fresh | stands up by itself
- the bag | arrived torn | doesn't close again | weighs less than it says
+ the taste | must be wonderful, as nothing is ever left over | wins over even our fussy old lady
- the taste | can't be good, because he walks away from it | puts off both our dogs | changes every time
= Our spaniel is nine years old | We mix it with wet food | A bag lasts us about a month | She weighs 14 kilos
novel: it, 7, 34
+ the plot | kept me up until three | twists without cheating | pays off in the very last pages
- the plot | goes nowhere | has holes you could drive a bus through | falls apart halfway
+ the main character | feels like an old friend | is flawed and funny | grows on you with every chapter
- the main character | never comes alive | whines for four hundred pages | makes one stupid choice after another
+ the writing | is sharp and musical | made me laugh out loud | trusts the reader
- the writing | is clumsy | drowns in adjectives | reads like a first draft
+ the ending | moved me to tears | took me by surprise | is exactly right
- the ending | is a cop-out | comes out of nowhere | feels rushed
+ the dialogue | crackles | sounds like real people | is the best I have read in years
- the dialogue | is wooden | explains everything twice | made me cringe
+ the setting | is so real that I could smell the sea | is a character of its own | stays with you
- the setting | could be anywhere | is full of mistakes | never matters to the story
= I read it on holiday | It is her second book | I had the paperback with 412 pages | Our book club chose it
e-reader: it, 79, 399
+ the screen | looks like real paper | is sharp even in full sun | is easy on my tired eyes
- the screen | shows ghosts of the last page | froze for good | scratches if you look at it
+ the page turn | is instant | works with one thumb | is a joy
- the page turn | takes two seconds | skips pages | reacts to every crumb
+ the battery | lasts for weeks | survived a month of travel | hardly ever needs the cable
- the battery | is empty after two days | swelled up | doesn't last as advertised
+ the front light | is even and warm | goes low enough for the bedroom | adjusts by itself
- the front light | is blotchy | has a nasty blue tint | flickers
+ the library app | syncs everything | finds my library loans | is well organised
- the library app | loses my bookmarks | crashes with long PDFs | pushes adverts at me
+ the case | feels like leather | wakes it up reliably | adds hardly any weight
- the case | fell apart | adds half a pound | doesn't close properly
= I read two books a week | It has 16 GB of storage | I bought the version without ads
tent: it, 59, 649
+ the flysheet | kept us dry through a storm | is tough as old boots | dries within the hour
- the flysheet | leaked in the first shower | tore in a light breeze | sticks to the inner tent
+ the poles | click together in the dark | bend without breaking | are colour coded
- the poles | splintered on day one | are too short for the sleeves | bent for good in the wind
+ the pitching | takes me six minutes alone | is child's play | needs no manual
- the pitching | takes three people & an argument | is a nightmare in the rain | makes no sense
+ the space inside | is enough for two and a dog | lets me sit upright | surprised us all
- the space inside | is a bad joke for three people | is too low to sit in | fills with condensation
+ the weight | is hardly noticeable on my back | is less than stated | makes it perfect for bike trips
- the weight | is double what the page says | rules out any hike | broke the strap of my pack
+ the zips | run smoothly in both directions | haven't caught once | feel sturdy
- the zips | caught on the fabric every time | failed on the second night | rusted
= We camped for nine nights | It was about five degrees at night | We pitched it on sand | It came with 14 pegs
coffee: it, 6, 39
+ the aroma | fills the whole kitchen | reminds me of Naples | lasts until the bag is empty
- the aroma | is like wet cardboard | is gone within a day | has something burnt about it
+ the roast | is dark without being bitter | is even and oily | suits my espresso machine
- the roast | is burnt to charcoal | is uneven | is far lighter than described
+ the flavour | has notes of chocolate & cherry | is round and mild | stays with you
- the flavour | is bitter and flat | is sour like vinegar | is hardly there at all
+ the crema | is thick and golden | stays to the last sip | is the best I have had at home
- the crema | vanishes in seconds | doesn't form at all | is pale and thin
+ the freshness | is excellent, with a roast date from last week | is beyond doubt | shows in every cup
- the freshness | is doubtful without any roast date | was gone on arrival | is a lie
+ the caffeine | wakes the dead | gets me through the night shift | is just enough
- the caffeine | gives me the shakes | does nothing for me | keeps me awake until four
= I grind it by hand | We drink two pots a day | I use a French press | The bag holds a kilo
board game: it, 15, 119
+ the rulebook | fits on two pages | answers every question | is a pleasure to read
- the rulebook | contradicts itself | was clearly never proofread | took us two hours
+ the artwork | is gorgeous | draws everyone to the table | rewards a closer look
- the artwork | is ugly and hard to read | looks like clip art | uses colours that nobody can tell apart
+ the playing time | flies by | is just right for a weeknight | is shorter than the box says
- the playing time | drags on for four hours | is mostly waiting | is triple what the box says
+ the replay value | is enormous | keeps us coming back every weekend | grows with each expansion
- the replay value | is nil | ended after two evenings | isn't there
+ the balance | is so good that every round ends close | gives beginners a chance | rewards clever play
- the balance | is broken | lets the first player win every time | leaves everything to luck
+ the quality of the pieces | is lovely | is far above the price | will last for generations
- the quality of the pieces | is dreadful | is a shame, as the dice are lopsided | shows after one evening
= We played with four people | The box says eight and up | Our oldest is eleven | We own about fifty games
running shoes: them, 45, 199
+ the cushioning | is like running on clouds | spares my bad knees | still springs back after 500 km
- the cushioning | went flat within weeks | is hard as concrete | made my knees hurt
+ the grip | holds on wet leaves | never slips | is superb on trails
- the grip | is lethal on wet stone | wore off in no time | squeaks on every floor
+ the toe box | leaves room for wide feet | doesn't rub | keeps my nails intact
- the toe box | is far too narrow | gave me black nails | has a hole already
+ the upper | breathes even in August | dries overnight | hugs the foot
- the upper | tore at the seam | is a sauna | lets in every drop
+ the heel | locks in nicely | gave me no blisters at all | feels stable
- the heel | rubs until it bleeds | slips with each step | is worn down on one side
+ the lacing | stays tied for a marathon | spreads the pressure well | is quick
- the lacing | comes undone all the time | cuts into my instep | frayed within days
= I run about 40 km a week | I wear size 43 | I am a heavy runner at 95 kilos | I train for a half marathon
desk lamp: it, 17, 159
+ the light | is bright and even | is warm in the evening | doesn't tire my eyes
- the light | flickers on every setting | is cold as a morgue | buzzes audibly
+ the arm | stays exactly where I put it | reaches across a huge desk | moves with one finger
- the arm | sinks slowly all evening | squeaks | snapped at the joint
+ the dimmer | goes down to a candle's glow | is smooth | remembers its last setting
- the dimmer | has two steps, blinding and off | died in a week | reacts when I pass by
+ the base | is heavy and stable | takes hardly any room | charges my phone as well
- the base | tips over at a touch | scratched my desk | feels like cheap plastic
+ the clamp | holds on to my thick table | is padded | was mounted in a minute
- the clamp | doesn't fit any table I own | left a dent | came without its screw
+ the design | is timeless | gets compliments from every visitor | looks far more expensive
- the design | looks nothing like the picture | hides the switch at the back | is an eyesore
= It stands on my sewing table | It draws 9 watts | I work from home | The cable is 1.5 m long
phone case: it, 5, 59
+ the fit | is snug | leaves all the ports free | is made to measure
- the fit | is loose | covers half the camera | puts pressure on the buttons
+ the protection | saved my phone from a fall down the stairs | reaches over the edges | feels serious
- the protection | failed at the first drop | is for show only | ends where the corners start
+ the grip | is just right | stops it from sliding off the table | feels good in the hand
- the grip | is slippery as soap | turns sticky in summer | peels off
+ the print | is sharp | hasn't rubbed off | looks even better in person
- the print | rubbed off in a week | is blurry | is a different picture altogether
+ the magnet | holds tight on a bumpy road | charges without fuss | is strong
- the magnet | is far too weak | wiped my hotel card | stops it from charging
+ the material | doesn't yellow | is thin and tough | wipes clean
- the material | turned yellow | smells of petrol | cracked in the cold
= I drop my phone about twice a week | I chose the matt version | It came in a plain envelope
backpack: it, 25, 229
+ the straps | are padded and wide | don't cut in, even with ten kilos | adjust in a moment
- the straps | cut into my shoulders | slip all day | tore off at the seam
+ the laptop sleeve | is thick and safe | fits my 16-inch machine | opens from the side
- the laptop sleeve | has no padding at the bottom | is too tight | got wet inside
+ the number of pockets | is just right | spoils me | means that I find everything
- the number of pockets | is silly, and none fits a bottle | is far too small | drives me mad
+ the waterproofing | stood up to a whole day of rain | is no empty promise | beads like new
- the waterproofing | is a fairy tale | lasted one shower | wore off
+ the back panel | keeps my shirt dry | follows my spine | is firm yet soft
- the back panel | makes me sweat | sags | presses on one spot
+ the zips | run like butter | are big enough for gloves | can be locked
- the zips | burst on the first trip | jam in the corners | lost their pulls
= I commute by bike | It holds 28 litres | I took it on a two-week trip | It goes under the seat in front of me
frying pan: it, 15, 179
+ the coating | lets eggs slide off | has no scratch after a year | needs hardly any oil
- the coating | flaked into our food | sticks like glue | was gone within two months
+ the handle | stays cool | is riveted firmly | goes into the oven as well
- the handle | burns my hand | rattles | broke off with hot oil in the pan
+ the base | is perfectly flat | heats evenly | works on induction & gas
- the base | warped the first time | heats only in the middle | isn't recognised by my induction hob
+ the weight | is easy on my wrist | gives it a solid feel | is well balanced
- the weight | is too much for one hand | makes it tip over | feels cheap
+ the cleaning | takes ten seconds | needs nothing but a wipe | is no effort
- the cleaning | takes longer than the cooking | ruined two sponges | is a pain
+ the browning | is worthy of a steakhouse | is even from edge to edge | makes pancakes a joy
- the browning | is patchy | never happens | is black in the middle and pale outside
= I cook for five every day | It measures 28 cm | I only wash it by hand | It came with a cardboard sleeve
"""

WORDS = {
    "who": ["mother", "father-in-law", "sister", "neighbour", "flatmate", "partner", "best friend", "son", "boss"],
    "span": ["two days", "a week", "three weeks", "a month", "two months", "half a year", "a winter", "a year"],
    "days": ["two", "three", "four", "five", "six", "eight", "eleven"],
}

# Frames. {x} and {y} are clauses such as "the lid jams", {a} is an aspect, and {X} starts with a capital.
CLAIMS = """{X}.|{X}.|{X}!|And {x}.|In daily use {x}.|My {who} says that {x}.|After {span} I can say that {x}.
It's worth knowing that {x}.|As others have written, {x}.|I should add that {x}.|I noticed at once that {x}.
Compared with what I had before, {x}.|If you ask me, {x}.|I can confirm that {x}.|One more thing: {x}."""
PRAISE = """I love that {x}.|Best of all, {x}.|To my delight, {x}.|I was sceptical at first, but {x}.
Thankfully, {x}.|It isn't the cheapest, but {x}.|{X}, just as promised.|{X}, which is more than I hoped for.
I can't fault {a}.|There is nothing wrong with {a}.|Full marks for {a}.|I'm very happy with {a}.|I adore {a}!
I have no complaints about {a}.|I can't say enough good things about {a}.|You can't go wrong with {a}."""
BLAME = """Sadly, {x}.|What annoys me most is that {x}.|I wanted to love the {name}, but {x}.|The worst part: {x}.
Nobody warned me that {x}.|The pictures look lovely, but {x}.|{X}, which is not what I paid for.|Worse, {x}.
{X}, whatever the description says.|It didn't take long to find out that {x}.|I'm not happy with {a}.|I hate {a}.
I expected far more of {a}.|I can't recommend the {name} because of {a}.|There is nothing good about {a}.
Don't be fooled by the praise for {a}.|I wouldn't trust {a} again.|What were they thinking with {a}?"""
WEIGHED = """{X}, but {y}.|{X}. On the other hand, {y}.|Although {y}, {x}.|Granted, {x}, yet {y}.|While {x}, {y}.
I like that {x}; still, {y}.|It's a pity that {y}, because {x}.|{X}, so I could almost forgive that {y}."""
OPENINGS = """I bought {it} for my {who}.|I ordered the {name} {span} ago.|My {who} talked me into buying {it}.
I got {it} as a present from my {who}.|I have had {it} for {span} now.|I needed something quickly & chose {it}.
I don't usually write reviews.|After {span} it's time for a review of the {name}.|Bought in the sale.
I looked at the {name} for {span} before I ordered.|I'll keep this short.|This is about the {name}."""
FACTS = """Delivery took {days} days.|I paid the full price.|My {who} has the same & we compared.|P&P was free.
I use {it} more than I thought.|It was my first order here.|There is a leaflet in {days} languages.|I live alone.
The parcel was left with my {who}.|I had something else before.|I read about the {name} in a magazine.
My old {name} had come to the end.|I compared {days} others.|The box was plain cardboard & a bit dented.|I'm 47.
I have no experience with other brands.|This is my honest opinion, nobody paid me.|We live in a small town."""

# From here on, "+" starts what is good, "~" what is mixed and "-" what is bad.
ENDINGS = """
+ Highly recommended. | I would buy {it} again. | Worth every penny. | I couldn't be happier. | Ten out of ten!
+ My {who} wants the same now. | You won't regret it. | Thank you! | Already ordered a second time as a gift.
~ Not bad, not great. | It does the job. | I'm in two minds. | For the price, fine. | I'll keep {it}, just about.
~ Some will love {it}; I don't. | Could have been so much better. | Perhaps my hopes were too high. | Average.
- I want my money back. | Avoid! | Save your money. | Never again. | I sent {it} straight back. | What a waste.
- I wouldn't give {it} to my worst enemy. | My {who} had the same trouble. | Nobody answers my emails.
"""
TITLES = """
+ Great {name} | Love {it}! | Just what I needed | Five stars | Better than expected | Best {name} ever | Top!
+ Can't fault {it} | Very happy with the {name} | Excellent value & fast delivery | A pleasant surprise
~ OK for the price | Mixed feelings | Good, but not great | It's fine | Could be better | Average {name} | Hmm
- Disappointed | Don't bother | Not worth it | Worst {name} I've had | Not what I hoped for | Awful | No, no, no
"""
SHORT = """
+ Great! | Perfect. | Excellent | Love it! | Good | Superb!! | Amazing | Just right | Very pleased | 👍 | wow
+ Great value | Works well, thanks | No complaints. | Brilliant | Couldn't be better | Perfect {name} | Thanks
~ OK | Okay. | Fine | Meh | So-so | Not bad | Average | It's alright I guess | Does the job | Average {name}
- Terrible | Bad | Awful. | Broken | Rubbish! | Useless | Don't buy | Not good | Waste of money | 👎 | Returned
- Fell apart | Very poor {name} | Never again!! | Not as described | Nope | Disappointed.
"""
EMOJI = """
+ 😍 | 👍👍 | ❤️ | 🎉 | ⭐⭐⭐⭐⭐ | 😊 | 🙌🏽 | 💯 | 🔥 | 👩‍👧‍👦❤️
~ 🤷 | 😐 | 🤔 | 😅 | 🙃
- 😡 | 👎 | 😤 | 💔 | 🤮 | 🙄 | 😭😭
"""
# One table for each language, so that the sentences of a review agree in it.
LANGUAGES = [
    """
+ とても満足しています。 | また買いたいと思います。 | 家族みんなが気に入っています。
~ 悪くはないですが、普通です。 | 値段を考えればこんなものでしょう。 | 便利ですが、少し重いです。
- すぐに壊れてしまいました。 | がっかりしました。 | 写真と全然違います。 | 二度と買いません。
""",
    """
+ منتج رائع وأنصح به الجميع. | الجودة ممتازة والسعر مناسب. | وصل بسرعة وكما في الوصف. | أنا سعيد جدا بهذا الشراء.
~ جيد لكن ليس كما توقعت. | لا بأس به بهذا السعر. | المنتج عادي.
- تعطل بعد أسبوع واحد فقط. | جودة سيئة جدا. | لا أنصح بشرائه. | أريد استرداد نقودي.
""",
    """
+ Отличная вещь, всем советую! | Качество превзошло ожидания. | Пользуюсь каждый день и очень доволен.
~ В целом неплохо, но есть недостатки. | За такие деньги сойдёт. | Ничего особенного.
- Сломалось через неделю. | Деньги на ветер. | Совсем не то, что на фото. | Больше здесь не куплю.
""",
    """
+ बहुत बढ़िया है, सबको पसंद आया। | पैसे वसूल। | गुणवत्ता उम्मीद से बेहतर है। | मैं फिर से खरीदूँगा।
~ ठीक-ठाक है। | कीमत के हिसाब से ठीक है। | अच्छा है, लेकिन थोड़ा छोटा है।
- एक हफ़्ते में ही टूट गया। | बिल्कुल बेकार है। | पैसे बर्बाद हो गए। | फ़ोटो जैसा नहीं है।
""",
    """
+ Εξαιρετική ποιότητα, το συνιστώ ανεπιφύλακτα. | Είμαι πολύ ευχαριστημένη. | Ήρθε γρήγορα και δουλεύει τέλεια.
~ Καλό, αλλά τίποτα το ιδιαίτερο. | Για τα λεφτά του είναι εντάξει. | Περίμενα κάτι καλύτερο.
- Χάλασε την πρώτη εβδομάδα. | Πεταμένα λεφτά. | Δεν το συνιστώ σε κανέναν. | Καμία σχέση με τη φωτογραφία.
""",
    """
+ 质量很好,非常满意。 | 物流很快,推荐购买。 | 比想象中的好用。 | 家里人都很喜欢。
~ 一般般吧。 | 还可以,没有想象中那么好。 | 这个价格也就这样了。
- 用了三天就坏了。 | 太失望了,不推荐。 | 和图片完全不一样。 | 客服也不理人。
""",
    """
+ 정말 마음에 들어요. | 배송도 빠르고 품질도 좋습니다. | 재구매 의사 있습니다.
~ 그냥 보통이에요. | 가격을 생각하면 괜찮아요. | 좋긴 한데 조금 무거워요.
- 일주일 만에 고장 났어요. | 사진이랑 너무 달라요. | 돈이 아깝습니다.
""",
    """
+ מוצר מעולה, ממליצה בחום. | הגיע מהר ועובד מצוין. | שווה כל שקל.
~ בסדר, לא משהו מיוחד. | סביר למחיר.
- התקלקל אחרי שבוע. | בזבוז של כסף. | לא מה שמופיע בתמונה.
""",
    """
+ ¡Me encanta! Lo uso todos los días. | Muy buena calidad y llegó enseguida. | Lo recomiendo sin dudarlo.
~ No está mal, pero esperaba más. | Cumple, sin más. | Para lo que cuesta, bien.
- Se rompió a la semana. | No vale lo que cuesta. | Quiero que me devuelvan el dinero.
""",
    """
+ Bin sehr zufrieden, gerne wieder. | Tut genau, was es soll. | Schöne Qualität für den Preis. | Größe passt.
~ Ganz okay, mehr aber auch nicht. | Für den Preis in Ordnung. | Bin zwiegespalten.
- Nach einer Woche kaputt. | Leider nur Ärger damit. | Das Geld hätte ich mir sparen können.
""",
]
BLANK = ["", " ", "\n"]
ODD = [
    *["NA", "null", "None", "N/A", "nan", "NULL", "true", "0", "5", "-", ".", "?", "#N/A", '"', "''", "\\N", "a,b"],
    "tabs\tbetween\tthe\twords",
    "\tstarts with a tab",
    "first line\nsecond line\n\nand a last one after a gap",
    "lines that end\r\nas on Windows\r\n",
    'She said "wow", twice: "wow".',
    '""Doubled quotes"", for whatever reason, and, many, commas',
    '"All in quotes."',
    'A quote that never closes: "to be continued',
    "   spaces around it, and three at the end   ",
    "Ends with a backslash \\",
    "=2+2 is the mark that I would give, out of 5",
    "Size 7½, 100 % cotton, 20 °C, £12 – not €15… “curly” ‘quotes’",
    "non\u00a0breaking\u00a0spaces, a zero\u200bwidth one and a soft hy\u00adphen",
    "Cafe\u0301 with a combining accent, and caf\u00e9 without",
    "See https://example.com/help?id=42&lang=en#faq or write to help@example.com",
    "<p>Pasted from <b>somewhere</b> else<br /><br />with &quot;entities&quot; &amp; tags</p>",
    "s" + "o" * 300 + " good",
    "goood gooood goooood " * 8,
    "!" * 40,
    "🎉" * 25,
    "1234567890 " * 6,
    "👍🏿 👍🏻 🇬🇷 👨‍👩‍👧‍👦",
    "שלום, this turns to the left and back again, مرحبا",
]


class Kind(IntEnum):
    """What a sentence does in a review. From CLAIM on these are groups of three: bad, mixed, good."""

    OPENING, FACT, ODD, BLANK = range(4)
    CLAIM, ENDING, TITLE, SHORT, EMOJI, FOREIGN = range(4, 4 + 6 * 3, 3)


class Manner(IntEnum):
    """What kind of text a review is."""

    PROSE, SHORT, FOREIGN, ODD, BLANK = range(5)


MANNERS = [875, 60, 45, 15, 5]  # of 1,000 reviews
# Of 1,000 reviews in prose, how many have from how many to how many sentences: about log-normal, as real ones are.
LENGTHS = [
    (190, 1, 2),
    (286, 3, 4),
    (274, 5, 8),
    (150, 9, 16),
    (63, 17, 32),
    (27, 33, 64),
    (8, 65, 128),
    (2, 129, 260),
]
STARS = [14, 8, 11, 22, 45]  # of 100 reviews
# Of 100 sentences in a review with 1 to 5 stars, how many are bad, mixed and good, and how many are mere facts.
VERDICTS = [(80, 4, 2, 14), (58, 22, 6, 14), (26, 32, 28, 14), (6, 18, 62, 14), (2, 3, 81, 14)]


class Pools(NamedTuple):
    """All phrases in one list; those of a product and a kind are `size` ones from `start` on."""

    phrases: list[str]
    start: list[list[int]]
    size: list[list[int]]


@dataclass
class Product:
    """A product, and what can be said of it: pairs of an aspect and a clause about it."""

    name: str
    it: str
    prices: tuple[int, int]
    bad: list[tuple[str, str]]
    good: list[tuple[str, str]]
    facts: list[str]
    words: dict[str, Iterator[str]] = field(default_factory=lambda: {name: cycle(WORDS[name]) for name in WORDS})

    def fill(self, frames: str, x: str = "", a: str = "", y: str = "") -> Iterator[str]:
        """Fill frames with clauses; each frame that asks for one of the `WORDS` gets the next of them."""
        said = {"name": self.name, "it": self.it, "x": x, "X": x[:1].upper() + x[1:], "a": a, "y": y}
        for frame in _cut(frames.replace("\n", "|")):
            asked = {name: next(words) for name, words in self.words.items() if f"{{{name}}}" in frame}
            yield frame.format(**said, **asked)

    def kinds(self) -> list[list[str]]:
        """Return the sentences of each `Kind` in order."""
        bad = [text for aspect, x in self.bad for text in self.fill(f"{CLAIMS}|{BLAME}", x, aspect)]
        good = [text for aspect, x in self.good for text in self.fill(f"{CLAIMS}|{PRAISE}", x, aspect)]
        pairs = [(x, y) for (one, x), (other, y) in product(self.good, self.bad) if one != other]
        mixed = [text for x, y in pairs for text in self.fill(WEIGHED, x, y=y)]
        openings = dict.fromkeys(text for _ in WORDS["who"] for text in self.fill(OPENINGS))
        facts = [*(f"{fact}." for fact in self.facts), *self.fill(FACTS)]
        blocks = (ENDINGS, TITLES, SHORT, EMOJI, *LANGUAGES)
        verdicts = [self._verdict(block, sign) for block in blocks for sign in "-~+"]
        return [list(openings), facts, ODD, BLANK, bad, mixed, good, *verdicts]

    def _verdict(self, block: str, sign: str) -> list[str]:
        lines = [line[2:] for line in block.strip().splitlines() if line[0] == sign]
        return [text for line in lines for text in self.fill(line)]


def products() -> list[Product]:
    """Read the table of products."""
    found: list[Product] = []
    for line in PRODUCTS.strip().splitlines():
        sign, _, rest = line.partition(" ")
        if sign == "=":
            found[-1].facts.extend(_cut(rest))
        elif sign in ("+", "-"):
            aspect, *clauses = _cut(rest)
            side = found[-1].good if sign == "+" else found[-1].bad
            side.extend((aspect, f"{aspect} {clause}") for clause in clauses)
        else:
            name, _, rest = line.partition(": ")
            it, lowest, highest = rest.split(", ")
            found.append(Product(name, it, (int(lowest), int(highest)), [], [], []))
    return found


@cache
def pools() -> Pools:
    """Write out every sentence that can be said of each product."""
    every = Pools([], [], [])
    for kinds in (item.kinds() for item in products()):
        every.size.append([len(kind) for kind in kinds])
        every.start.append([])
        for kind in kinds:
            every.start[-1].append(len(every.phrases))
            every.phrases.extend(kind)
    return every


def _cut(line: str) -> list[str]:
    return [part.strip() for part in line.split("|")]
