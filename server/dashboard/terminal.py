"""A run in the terminal: the same facts as on the page, drawn anew twice a second."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from server.dashboard.figures import (
    RUN_WORDS,
    STATE_SIGNS,
    STATE_WORDS,
    ago,
    done_share,
    duration,
    last_known,
    left_basis,
    left_words,
    number,
    size,
)
from server.dashboard.pages import counted, noticed
from server.dashboard.snapshot import SiteNow, Snapshot

LOOK_SECONDS = 0.5
ENDED = ("finished", "failed", "stopped", "interrupted")
STYLES = {
    "working": "cyan",
    "online": "green",
    "done": "green",
    "late": "yellow",
    "gone": "bold red",
    "quarantined": "bold red",
    "refused": "bold red",
    "unknown": "dim",
}
RUN_STYLES = {"finished": "green", "failed": "bold red", "interrupted": "bold red"}


def show(look: Callable[[], Snapshot], stop: Event) -> None:
    """Show a run until it has ended, or `stop` is set."""
    screen = Console(highlight=False, emoji=False)
    if not screen.is_terminal:
        screen.print(view(look(), None))
        return
    with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            shown = look()
            live.update(view(shown, screen.height), refresh=True)
            if shown.state in ENDED or stop.wait(LOOK_SECONDS):
                live.update(view(shown, None), refresh=True)
                return


def view(shown: Snapshot, height: int | None) -> RenderableType:
    """Lay a snapshot out; with a height, the sites in trouble come first and the rest may go."""
    lines: list[RenderableType] = [_head(shown), _stages(shown), *_now(shown), *_failures(shown)]
    lines += [_curves(shown), _facts(shown)]
    room = None if height is None else max(3, height - 2 * len(shown.failures) - 24)
    lines.append(_sites(shown, room))
    return Group(*lines)


def _head(shown: Snapshot) -> Text:
    text = Text()
    text.append(shown.study, "bold")
    text.append(f"  {RUN_WORDS[shown.state]}", RUN_STYLES.get(shown.state, "cyan"))
    text.append(f"  {shown.identity}", "dim")
    return text


def _stages(shown: Snapshot) -> Text:
    text = Text()
    for stage in shown.stages:
        if stage.state == "done":
            text.append(f"✓ {stage.name} {duration(stage.seconds)}", "green")
        elif stage.state == "now":
            of = f" {stage.questions}/{stage.of}" if stage.of and stage.of > 1 else ""
            text.append(f"▶ {stage.name}{of}", "bold cyan")
        else:
            text.append(f"  {stage.name}", "dim")
        text.append("   ")
    return text


def _now(shown: Snapshot) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if shown.progress is not None and shown.state in ("running", "starting"):
        bar = Table.grid(padding=(0, 1))
        done = round(100 * shown.progress)
        bar.add_row(ProgressBar(100, done, width=40), done_share(shown.progress), shown.where)
        lines.append(bar)
    if shown.left is not None:
        lines.append(Text(f"{left_words(shown.left)}: {left_basis(shown.left)}"))
    if shown.question is not None:
        waiting = [one for one in shown.question.asked if one not in shown.question.answered]
        names = ", ".join(waiting[:6]) + (f" and {len(waiting) - 6} more" if waiting[6:] else "")
        have = f"{len(shown.question.answered)} of {len(shown.question.asked)} have answered"
        since = ago(shown.question.since, shown.at)
        lines.append(Text(f"asked {since}; {have}" + (f"; waiting for {names}" if names else "")))
    return lines


def _failures(shown: Snapshot) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for one in shown.failures:
        if not one.over:
            who = f"{one.site}: " if one.site else ""
            lines.append(Text(f"✕ {who}{one.what} ({one.where})", "bold red"))
            if one.fix:
                lines.append(Text(f"  What to do: {one.fix}"))
    for state, fix, sites in noticed(shown):
        names = ", ".join(site.name for site in sites[:6]) + (" and more" if sites[6:] else "")
        what = sites[0].note if len(sites) == 1 else STATE_WORDS[state]
        lines.append(Text(f"{STATE_SIGNS[state]} {names}: {what}", STYLES[state]))
        lines.append(Text(f"  What to do: {fix}"))
    return lines


def _curves(shown: Snapshot) -> RenderableType:
    if not shown.curves:
        return Text(shown.hidden or "No round was measured yet.", "dim")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("fold", "rounds", "training loss", "validation loss", "validation AUC", "at most"):
        table.add_column(name, justify="right")
    for curve in shown.curves:
        known = [auc for auc in curve.validation_auc if auc is not None]
        table.add_row(
            str(curve.fold), str(curve.rounds[-1]), number(last_known(curve.training_loss)),
            number(last_known(curve.validation_loss)), number(last_known(curve.validation_auc)),
            number(max(known, default=None)),
        )  # fmt: skip
    return table


def _facts(shown: Snapshot) -> Text:
    found = [f"{shown.messages} messages"]
    if shown.quorum is not None:
        last = "–" if shown.quorum.answered is None else str(shown.quorum.answered)
        found.append(
            f"quorum: {last} of {shown.quorum.training_sites} training sites answered last, "
            f"{shown.quorum.least} must"
        )
    if shown.looks:
        looks = ", ".join(f"{site} {many}" for site, many in shown.looks.items())
        found.append(f"looks at external sites: {looks}")
    if shown.privacy is not None:
        own = shown.privacy
        found.append(f"epsilon {own.spent:.2f} of {own.epsilon:.2f} spent, delta {own.delta:g}")
    if shown.sums is not None:
        found.append(f"changes of the set of a sum: {shown.sums.changes} of {shown.sums.allowed}")
    return Text("; ".join(found), "dim")


def _sites(shown: Snapshot, room: int | None) -> RenderableType:
    counts = ", ".join(f"{many} {STATE_WORDS[state]}" for state, many in counted(shown.sites))
    table = Table(title=f"Sites: {counts}", title_justify="left", box=SIMPLE_HEAD,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in ("site", "role", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("last answer", "pos./neg.", "a round", "sent", "received", "missed", "MyoFed"):
        table.add_column(name, justify="right", no_wrap=True)
    sites = list(shown.sites)
    if room is not None and len(sites) > room:
        sites = sorted(sites, key=lambda site: not site.note)[:room]
    for site in sites:
        table.add_row(*_row(site, shown.at))
    left = len(shown.sites) - len(sites)
    return Group(table, Text(f"{left} more sites", "dim")) if left else table


def _row(site: SiteNow, now: float) -> tuple[RenderableType, ...]:
    state = Text(f"{STATE_SIGNS[site.state]} {STATE_WORDS[site.state]}", STYLES[site.state])
    patients = f"{site.patients.positive}/{site.patients.negative}" if site.patients else "–"
    return (
        site.name, site.role, state, ago(site.last_answer, now), patients, duration(site.seconds),
        size(site.sent), size(site.received), str(site.missed), site.versions.get("myofed", "–"),
    )  # fmt: skip
