"""`verify-service demo`: a service with made-up traffic to look at, with the console open."""

import signal
import sys
import threading
import webbrowser
from functools import partial

import click

from verify_service import settings
from verify_service.commands.progress import progress


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="The port.")
@click.option("--speed", default=20.0, show_default=True, type=click.FloatRange(1, 60), help="Times real time.")
@click.option("--days", default=2.0, show_default=True, type=click.FloatRange(0, 30), help="Of history before.")
@click.option("--attack-after", default=120.0, show_default=True, type=click.FloatRange(0), help="In seconds.")
@click.option("--seconds", type=click.FloatRange(0), help="Ends by itself after so many.  [default: Ctrl-C ends it]")
@click.option("--seed", default=3, show_default=True, help="Other people, another attack.")
@click.option("--browser/--no-browser", default=True, help="Opens the console, where there is a display.")
def demo(
    port: int, speed: float, days: float, attack_after: float, seconds: float | None, seed: int, browser: bool
) -> None:
    """Shows the console at work, with made-up traffic and an attack.

    The service is one of its own, in a folder that goes when it ends, with a fake provider: nothing is sent to anybody.
    """
    from verify_service.demo.show import Plan, show
    from verify_service.process import ENDS_WITHIN, hearing_signals

    def look(address: str) -> None:
        if browser and (sys.platform == "darwin" or settings.has_display()):
            webbrowser.open(address)

    plan = Plan(port=port, days=days, speed=speed, attack_after=attack_after, seconds=seconds, seed=seed)
    stop = threading.Event()
    say = partial(click.echo, color=None)
    bar = partial(progress, "history", done="is played")
    with hearing_signals(lambda _: stop.set(), [signal.SIGINT, signal.SIGTERM], ENDS_WITHIN + 20):
        show(plan, settings.inherited(), stop, say, bar, look)
