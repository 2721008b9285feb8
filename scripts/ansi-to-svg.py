"""Turns the demo's text with ANSI colors (stdin) into an SVG image (stdout). Argument: the command, for the prompt.

Of each numbered part only the first lines are shown, so that the image fits a screen.

Knows only the colors and weights that the demo writes (SGR 0, 1, 2, 22, 30 to 37); other sequences are dropped.
Every piece of text stands at its own place, so that columns hold whatever monospaced font a viewer has.
"""

import re
import sys
from html import escape

COLUMN, ROW, SIZE, MARGIN, BAR = 7.8, 18, 13, 20, 34
COLORS = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3"]
# The lines shown of each part, from the title on.
SHOWN = [1, 6, 5, 4, 3, 5]
TEXT, GROUND, DIMMED = "#d6dde5", "#0d1117", 0.62


def pieces(line):
    """The line's texts with their column, color, and whether they are bold or dimmed."""
    color, bold, dim, column = TEXT, False, False, 0
    for part in re.split(r"(\x1b\[[0-9;]*[A-Za-z])", line):
        sequence = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if sequence:
            for code in (int(number or 0) for number in sequence[1].split(";")):
                if code in (0, 22):
                    bold, dim = False, False
                if code in (0, 39):
                    color = TEXT
                bold, dim = bold or code == 1, dim or code == 2
                if 30 <= code <= 37:
                    color = COLORS[code - 30]
        elif not part.startswith("\x1b"):
            # A gap of several columns is left out, as viewers may shrink it.
            for word in re.finditer(r"\S+(?: \S+)*", part):
                yield column + word.start(), word[0], color, bold, dim
            column += len(part)


def plain(line):
    """The line without colors."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line)


def shortened(lines):
    """The beginning of each part; where lines were left out, an ellipsis."""
    parts = [[]]
    for line in lines:
        if re.match(r"\d  .*─$", plain(line)):
            parts.append([])
        if plain(line).strip():
            parts[-1].append(line)
    for number, (part, shown) in enumerate(zip(parts, SHOWN)):
        yield from part[:shown]
        if number and len(part) > shown:
            yield "  \x1b[2m…\x1b[0m"
    # The verdict of the whole, up to the headline of what follows.
    rest = parts[-1][SHOWN[-1]:]
    verdict = next((number for number, line in enumerate(rest) if plain(line).strip()[0] in "✓✗"), len(rest))
    for line in rest[verdict:]:
        if plain(line).strip() == "Next steps":
            break
        yield line


def main():
    lines = [f"\x1b[32m$\x1b[0m \x1b[1m{sys.argv[1]}\x1b[0m", *shortened(sys.stdin.read().split("\n"))]
    columns = max(len(plain(line)) for line in lines)
    width, height = round(columns * COLUMN + 2 * MARGIN), len(lines) * ROW + BAR + MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
          f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="{SIZE}">')
    print(f"<title>{escape(sys.argv[1])}</title>")
    print(f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>')
    for number, dot in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        print(f'<circle cx="{MARGIN + 4 + number * 18}" cy="18" r="5.5" fill="{dot}"/>')
    for number, line in enumerate(lines):
        y = BAR + (number + 1) * ROW
        for column, text, color, bold, dim in pieces(line):
            style = (' font-weight="bold"' if bold else "") + (f' opacity="{DIMMED}"' if dim else "")
            length = f'{len(text) * COLUMN:.1f}'
            print(f'<text x="{MARGIN + column * COLUMN:.1f}" y="{y}" fill="{color}"{style} textLength="{length}" '
                  f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(text)}</text>')
    print("</svg>")


main()
