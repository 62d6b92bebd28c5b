#!/usr/bin/env python3
"""Makes an animated picture of the demo, from what it says and when.

    cargo run -- demo | docs/demo-cast.py > docs/demo.svg
    cargo run -- demo | docs/demo-cast.py --check docs/demo.svg

The second says whether the picture is what the demo says today, and fails where it is not: the same lines, whatever the
times, large counts, fingerprints and names of runs in them, in whatever order and however often.
"""

import re
import sys
import textwrap
from html import escape
from xml.etree import ElementTree

COLUMNS, ROWS = 100, 22
WIDE, HIGH, EDGE = 7.8, 18, 14
FONT = 13
# How long what remains is looked at before all begins anew, in seconds.
REST = 8
WHO = {"azure": "#7db5ff", "host": "#d7a6ff", "rekey": "#5fd7d7", "clients": "#ffffff"}
SVG = "http://www.w3.org/2000/svg"

# What the handler's log repeats of what was told, and the doctor's word on a grace of seconds.
LEFT_OUT = re.compile(r"doctor, |\w+ is done: ")
# The last line of the demo: what comes without it broke off.
END = re.compile(r" *\d+ ms  the longest outage of an app, its restart included")
TOLD = re.compile(r" *(?P<at>\d+\.\d) s  (?P<who>\w+) +(?P<what>.*)")


def normal(line):
    """A line without what is another each time."""
    line = re.sub(r"^ *\d+\.\d s", "", line)
    line = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{16}\b", "#", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "#", line)
    # A number of one digit is no matter of chance: nobody is refused, and there are two waves.
    line = re.sub(r"\b\d+(\.\d+)? ?(ms|s)\b|\b\d\d+\b", "#", line)
    return " ".join(line.split())


def read(lines):
    """Each line with its time; those that have none come with the one before."""
    at, told = 0.0, []
    for line in lines:
        found = TOLD.fullmatch(line)
        if found:
            at = float(found["at"])
        if line.strip() and not (found and LEFT_OUT.match(found["what"])):
            told.append((at, found["who"] if found else None, line))
    return told


def rows(line):
    """A line as it stands in the terminal."""
    found = TOLD.fullmatch(line)
    indent = " " * (found.start("what") if found else 13)
    return textwrap.wrap(line, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def draw(told):
    """The picture."""
    whole = told[-1][0] + REST
    part = lambda at: f"{min(at / whole * 100, 99):.2f}%"
    style, texts, scrolls, row = [], [], ["0%{transform:translateY(0)}"], 0
    for number, (at, who, line) in enumerate(told):
        style.append(f"@keyframes l{number}{{0%{{opacity:0}}{part(at)}{{opacity:1}}to{{opacity:1}}}}")
        style.append(f"#l{number}{{animation-name:l{number}}}")
        spans = []
        for piece in rows(line):
            y = EDGE + FONT + row * HIGH
            spans.append(f'<tspan x="{EDGE}" y="{y}"{colour(who)}>{escape(piece)}</tspan>')
            row += 1
        texts.append(f'<text id="l{number}">' + "\n".join(spans) + "</text>")
        if row > ROWS:
            scrolls.append(f"{part(at)}{{transform:translateY({(ROWS - row) * HIGH}px)}}")
    end = f"translateY({min(ROWS - row, 0) * HIGH}px)"
    width, height = round(2 * EDGE + COLUMNS * WIDE), 2 * EDGE + ROWS * HIGH
    return f"""<svg xmlns="{SVG}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="what">
<title id="what">signalr-rekey demo: a rotation, and a forced regeneration that is repaired, while clients call</title>
<style>
text{{font:{FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#e7e8eb;white-space:pre}}
#all{{transform:{end}}}
@media (prefers-reduced-motion:no-preference){{
text{{animation:{whole:.1f}s step-end infinite}}
#all{{animation:all {whole:.1f}s step-end infinite}}
{"".join(style)}
@keyframes all{{{"".join(scrolls)}to{{transform:{end}}}}}
}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#15171b" stroke="#5c5f66"/>
<clipPath id="screen"><rect y="{EDGE}" width="{width}" height="{height - 2 * EDGE + 4}"/></clipPath>
<g clip-path="url(#screen)"><g id="all">
{chr(10).join(texts)}
</g></g>
</svg>
"""


def colour(who):
    return f' fill="{WHO[who]}"' if who in WHO else ""


def lines_of(picture):
    """The lines of a picture, as the demo told them."""
    texts = ElementTree.parse(picture).getroot().iter(f"{{{SVG}}}text")
    return [" ".join("".join(text.itertext()).split()) for text in texts]


def check(picture, told):
    """What is in one of the two alone."""
    drawn = {normal(line) for line in lines_of(picture)}
    fresh = {normal(line) for _, _, line in told}
    return [f"- {line}" for line in sorted(drawn - fresh)] + [f"+ {line}" for line in sorted(fresh - drawn)]


def main(arguments):
    # What is shown here goes on to who watches.
    lines = [line.rstrip("\n") for line in sys.stdin]
    told = read(lines)
    if not told or told[-1][0] == 0:
        sys.exit("the demo has said nothing")
    if not END.fullmatch(told[-1][2]):
        sys.exit(f"the demo did not reach its end; the last that it said: {told[-1][2]}")
    match arguments:
        case []:
            sys.stdout.write(draw(told))
        case ["--check", picture]:
            print("\n".join(lines))
            differences = check(picture, told)
            if differences:
                sys.exit(
                    f"{picture} is not what the demo says (- in the picture, + in the demo):\n"
                    + "\n".join(differences)
                    + f"\nMake it anew: cargo run -- demo | docs/demo-cast.py > {picture}"
                )
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
