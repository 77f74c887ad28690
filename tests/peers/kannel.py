"""Debian's Kannel: its bearerbox, its smsbox, and its fakesmsc, which is the phone network."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.live import until
from verify_service.embedded import free_port

BEARERBOX, SMSBOX, FAKESMSC = "/usr/sbin/bearerbox", "/usr/sbin/smsbox", "/usr/lib/kannel/test/fakesmsc"
PASSWORD, CALLBACK_KEY = "s3cret", "callback-key-of-ours"
_GOT = re.compile(r"Got message \d+: <(\S+) (\+\d+) text (.*)>")

_CONFIG = """
group = core
admin-port = {admin}
admin-interface = "127.0.0.1"
admin-password = {password}
smsbox-port = {boxes}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
log-level = 1
store-type = file
store-location = "{folder}/store"

group = smsc
smsc = fake
smsc-id = FAKE
our-host = "127.0.0.1"
port = {smsc}
connect-allow-ip = "127.0.0.1"

group = smsbox
bearerbox-host = "127.0.0.1"
sendsms-port = {sendsms}
sendsms-interface = "127.0.0.1"
log-level = 1

group = sendsms-user
username = verify
password = {password}

group = sms-service
keyword = default
catch-all = true
get-url = "{callbacks}/inbound?key={key}&id=%I&from=%q&to=%Q&charset=%C&text=%b"
max-messages = 0
"""


@dataclass
class Kannel:
    """`url` is its sendsms; `log` is what fakesmsc writes."""

    url: str
    log: Path
    smsc_port: int
    fakesmsc: "subprocess.Popen[bytes]"

    def received(self) -> list[tuple[str, str, str]]:
        """Sender, number and text of each message that came out at the phones' end."""
        return _GOT.findall(self.log.read_text("utf-8"))

    def text(self, sender: str, to: str, body: str) -> None:
        """A text from a phone. The fakesmsc that sends it takes the place of the one that received."""
        _end(self.fakesmsc)
        self.fakesmsc = _fakesmsc(self.smsc_port, self.log, f"{sender} {to} text {body}", count=1)


@contextmanager
def kannel_at_work(folder: Path, callbacks: str) -> Iterator[Kannel]:
    """A Kannel of the test's own, which calls the service at `callbacks`."""
    for program in (BEARERBOX, SMSBOX, FAKESMSC):
        assert Path(program).exists(), f"there is no {program}: make test-peers installs Debian's kannel"
    (folder / "store").mkdir(parents=True)
    ports = {name: free_port() for name in ("admin", "boxes", "smsc", "sendsms")}
    config = folder / "kannel.conf"
    config.write_text(_CONFIG.format(folder=folder, callbacks=callbacks, password=PASSWORD, key=CALLBACK_KEY, **ports))
    log = folder / "fakesmsc.log"
    with ExitStack() as started:
        for program, ready in ((BEARERBOX, "MAIN: Start-up done"), (SMSBOX, "Connected to bearerbox")):
            said = folder / f"{Path(program).name}.log"
            process = _start([program, str(config)], said)
            started.callback(_end, process)
            until(lambda said=said, ready=ready: ready in said.read_text("utf-8", "replace"))  # type: ignore[misc]
        kannel = Kannel(
            url=f"http://127.0.0.1:{ports['sendsms']}/cgi-bin/sendsms",
            log=log,
            smsc_port=ports["smsc"],
            fakesmsc=_fakesmsc(ports["smsc"], log, "1 2 text nothing", count=0),
        )
        started.callback(lambda: _end(kannel.fakesmsc))
        until(lambda: "Fakesmsc client connected" in (folder / "bearerbox.log").read_text("utf-8", "replace"))
        yield kannel


def _fakesmsc(port: int, log: Path, message: str, count: int) -> "subprocess.Popen[bytes]":
    return _start([FAKESMSC, "-H", "127.0.0.1", "-r", str(port), "-m", str(count), message], log)


def _start(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
