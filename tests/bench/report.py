"""Figures as a table for people, as JSON for programs, and one plot."""
import json
from dataclasses import dataclass, field
from html import escape
from statistics import median


@dataclass
class Row:
    """One line: what was measured on whom, one value a run."""
    name: str
    values: list
    note: str = ""

    @property
    def median(self):
        return median(self.values)


@dataclass
class Figure:
    """Lines that compare, in one unit. base: the line that the others are ratios to. goal: the most (or, with
    higher_is_better, the least) that the lines named in goal_for are to reach; it is printed, never enforced."""
    id: str
    title: str
    unit: str
    base: str = ""
    goal: float = None
    goal_for: str = "sluice"
    higher_is_better: bool = False
    rows: list = field(default_factory=list)

    def add(self, name, values, note=""):
        self.rows.append(Row(name, values, note))

    def row(self, name):
        return next((row for row in self.rows if row.name == name), None)

    def ratio(self, row):
        base = self.row(self.base)
        return row.median / base.median if base and base.median else None

    def reached(self, row):
        if self.goal is None or not row.name.startswith(self.goal_for):
            return None
        return row.median >= self.goal if self.higher_is_better else row.median <= self.goal

    def as_json(self):
        return {"id": self.id, "title": self.title, "unit": self.unit, "goal": self.goal,
                "higher_is_better": self.higher_is_better,
                "rows": [{"name": r.name, "values": r.values, "min": min(r.values), "median": r.median,
                          "max": max(r.values), "ratio": self.ratio(r), "ratio_to": self.base or None,
                          "goal_reached": self.reached(r), "note": r.note} for r in self.rows]}


def number(v):
    size = abs(v)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    return f"{v:,.{digits}f}"


def machine_lines(m):
    yield (f"{m['cpu']}, {m['cores']} cores{' (virtual)' if m['virtual'] else ''}, "
           f"{m['memory_bytes'] / 2**30:.0f} GiB, {m['kernel']}, {m['open_files']:,} open files")
    if m["load_average"] > 0.3 * m["cores"]:
        yield f"!! the machine was busy with something else: load average {m['load_average']} at the start"


def figure_lines(f):
    yield f"{f.title} [{f.unit}]"
    if f.goal is not None:
        yield f"    goal for {f.goal_for}: {'at least' if f.higher_is_better else 'at most'} {number(f.goal)} {f.unit}"
    width = max(24, *(len(r.name) for r in f.rows))
    many = any(len(r.values) > 1 for r in f.rows)
    yield (f"    {'':{width}} {'median':>10}" + (f" {'min':>10} {'max':>10}" if many else "") +
           (f" {'x ' + f.base:>10}" if f.base else ""))
    for r in f.rows:
        ratio = f.ratio(r)
        reached = {None: "", True: "reached", False: "NOT REACHED"}[f.reached(r)]
        line = f"    {r.name:{width}} {number(r.median):>10}"
        line += f" {number(min(r.values)):>10} {number(max(r.values)):>10}" if many else ""
        line += f" {(number(ratio) if ratio is not None else ''):>10}" if f.base else ""
        yield f"{line}  {'  '.join(filter(None, (reached, r.note)))}".rstrip()


def write_json(path, machine, mode, figures, troubles, absent):
    path.write_text(json.dumps({"machine": machine, "mode": mode, "figures": [f.as_json() for f in figures],
                                "troubles": troubles, "peers_not_installed": absent}, indent=1) + "\n")


STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1c2430 } .small { font-size: 12px; fill: #5b6675 }
.title { font-size: 17px; font-weight: 600 } .bar { fill: #9fb0c3 } .own { fill: #0b7fab } .spread { stroke: #1c2430 }
.page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #e7ecf2 } .small { fill: #9aa7b5 } .bar { fill: #56687c }
.own { fill: #35b0dc } .spread { stroke: #e7ecf2 } .page { fill: #12171e } }
"""


def write_plot(path, figure, machine):
    """Bars of the medians, with the spread from the least to the most, longest at the right edge."""
    left, wide, step, top = 190, 450, 44, 94
    title, _, load = figure.title.partition(": ")
    longest = max(max(r.values) for r in figure.rows)
    height = top + step * len(figure.rows) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" role="img">',
           f"<title>{escape(figure.title)}</title><style>{STYLE}</style>",
           f'<rect class="page" width="800" height="{height}"/>',
           f'<text class="title" x="24" y="34">{escape(title)} [{escape(figure.unit)}]</text>',
           f'<text class="small" x="24" y="56">{escape(load)}</text>',
           f'<text class="small" x="24" y="74">bar: median, line: least to most</text>']
    for i, row in enumerate(figure.rows):
        y = top + step * i
        low, mid, high = (left + wide * v / longest for v in (min(row.values), row.median, max(row.values)))
        kind = "own" if row.name.startswith("sluice") else "bar"
        ratio = figure.ratio(row)
        beside = number(row.median) + (f"  (x {ratio:.2f})" if ratio is not None and row.name != figure.base else "")
        out += [f'<text x="{left - 12}" y="{y + 18}" text-anchor="end">{escape(row.name)}</text>',
                f'<rect class="{kind}" x="{left}" y="{y}" width="{mid - left:.1f}" height="26" rx="3"/>',
                f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 13}" y2="{y + 13}"/>',
                f'<text x="{high + 10:.1f}" y="{y + 18}">{escape(beside)}</text>']
    out += [f'<text class="small" x="24" y="{height - 14}">{escape(next(machine_lines(machine)))}</text>', "</svg>"]
    path.write_text("\n".join(out) + "\n")
