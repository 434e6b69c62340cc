"""The English phrases that a sample review is composed of, and its odd texts."""
# ruff: noqa: RUF001 - some of the characters look like ASCII ones

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
