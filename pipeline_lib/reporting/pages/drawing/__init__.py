"""What pictures show and where their shapes are: pure arithmetic, which the templates turn into SVG."""
