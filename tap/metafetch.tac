"""The daemon as a .tac file: `twistd -ny tap/metafetch.tac`.

For those who would rather keep the settings in a file than on a command line; the options are those of
`twistd metafetch --help`.
"""

from twisted.application.service import Application
from twisted.python.usage import UsageError

from functorrent.tap import Options, makeService

options = Options()
try:
    options.parseOptions(
        [
            "--data=/var/lib/metafetch",
            "--watch=/var/lib/metafetch/incoming",
            "--listen=tcp:6881",
        ]
    )
except UsageError as error:
    # twistd would show a traceback.
    raise SystemExit(f"metafetch: {error}") from None

application = Application("metafetch")
makeService(options).setServiceParent(application)
