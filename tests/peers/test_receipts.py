"""jose, from npm, verifies receipts by the README's function, and lets nothing else pass."""

import json
import re
import subprocess
import sys
from pathlib import Path

from verify_service.testing import VerifyClient, VerifyInbox, start_server

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
MODULES = Path(sys.prefix) / "typescript/node_modules"
TO = "+14155550123"
MAIN = """
import { readFileSync } from "node:fs";
import { approval } from "./verifier.mjs";
const verdicts = [];
for (const ask of JSON.parse(readFileSync(0))) {
  try { verdicts.push((await approval(...ask)).jti); } catch (error) { verdicts.push(error.code ?? error.message); }
}
console.log(JSON.stringify(verdicts));
"""


def test_jose_verifies_a_receipt_and_nothing_else(tmp_path: Path) -> None:
    """As printed but for the address; another tenant, purpose or binding and a changed signature have their errors."""
    printed = next(text for text in re.findall(r"```js\n(.*?)```", README, re.DOTALL) if "jwtVerify" in text)
    running = start_server(tmp_path / "state", {"VERIFY_CLOCK": "system"})
    try:
        client = VerifyClient(running.server)
        started = client.start(TO, purpose="payment", binding={"amount": "12.00"})
        code = VerifyInbox(client).code(TO)
        receipt = client.check(id=started["id"], code=code, binding={"amount": "12.00"}, receipt=True)["receipt"]
        (tmp_path / "node_modules").symlink_to(MODULES)
        (tmp_path / "verifier.mjs").write_text(printed.replace("http://127.0.0.1:8080", running.server.url))
        (tmp_path / "main.mjs").write_text(MAIN)
        head, said, mark = receipt.split(".")
        asks = [
            (receipt, "default", "payment", {"amount": "12.00"}),
            (receipt, "acme", "payment", {"amount": "12.00"}),
            (receipt, "default", "login", {"amount": "12.00"}),
            (receipt, "default", "payment", {"amount": "1200.00"}),
            (f"{head}.{said}.{'AB'[mark[0] == 'A']}{mark[1:]}", "default", "payment", {"amount": "12.00"}),
        ]
        done = subprocess.run(
            ["node", "main.mjs"], cwd=tmp_path, input=json.dumps(asks), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [
            started["id"],
            "ERR_JWT_CLAIM_VALIDATION_FAILED",
            "a receipt of something else",
            "a receipt of something else",
            "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        ]
    finally:
        running.stop()
