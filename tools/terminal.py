"""Makes an SVG of a terminal's screen: text as text, on a ground of its own, so that it reads on light and dark pages.

tmux capture-pane -p -e | python3 tools/terminal.py TITLE >picture.svg

Knows the escape sequences that tmux prints for bold, dim and the sixteen colors.
"""

import html
import re
import sys

FONT_PX, LINE_PX, COLUMN_PX, MARGIN_PX, BAR_PX = 14, 16, 8.4, 14, 26
GROUND, FRAME, PLAIN, QUIET = "#14171c", "#333a44", "#d7dbe0", "#8b949e"
COLORS = ["#5c6370", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#d7dbe0"]


def runs(line):
    """The stretches of a line that look alike: column, text, color, whether it is bold."""
    color, is_bold, is_dim, column = None, False, False, 0
    for text, codes in re.findall(r"([^\x1b]+)|\x1b\[([0-9;]*)m", line):
        # What stands far apart is placed by itself, so that columns stay columns in any font.
        for part in re.finditer(r"\S+(?: \S+)*", text):
            yield column + part.start(), part.group(), color or (QUIET if is_dim else PLAIN), is_bold
        column += len(text)
        codes = [] if text else [int(code or 0) for code in codes.split(";")]
        if codes[:2] == [38, 5]:
            color = COLORS[codes[2] % 8]
            continue
        for code in codes:
            if code in (0, 39):
                color = None
            if code in (0, 22):
                is_bold, is_dim = False, False
            is_bold, is_dim = is_bold or code == 1, is_dim or code == 2
            if 30 <= code <= 37 or 90 <= code <= 97:
                color = COLORS[code % 10]


def svg(lines, title):
    """The picture."""
    columns = max((column + len(text) for line in lines for column, text, *_ in runs(line)), default=1)
    width = round(columns * COLUMN_PX + 2 * MARGIN_PX)
    height = len(lines) * LINE_PX + BAR_PX + 2 * MARGIN_PX
    font = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{font}" font-size="{FONT_PX}px" role="img"><title>{html.escape(title)}</title>'
    )
    yield f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="{GROUND}" stroke="{FRAME}"/>'
    for at, color in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        yield f'<circle cx="{MARGIN_PX + 6 + 20 * at}" cy="{BAR_PX - 6}" r="6" fill="{color}"/>'
    for row, line in enumerate(lines):
        y = BAR_PX + MARGIN_PX + row * LINE_PX + FONT_PX
        for column, text, fill, is_bold in runs(line):
            weight = ' font-weight="bold"' if is_bold else ""
            length = f' textLength="{len(text) * COLUMN_PX:.1f}" lengthAdjust="spacingAndGlyphs"'
            x = f"{MARGIN_PX + column * COLUMN_PX:.1f}"
            yield f'<text x="{x}" y="{y}" fill="{fill}"{weight}{length} xml:space="preserve">{html.escape(text)}</text>'
    yield "</svg>"


if __name__ == "__main__":
    screen = [line.rstrip() for line in sys.stdin.read().rstrip().split("\n")]
    print("\n".join(svg(screen, sys.argv[1])))
