"""ltx-farm as ComfyUI custom nodes: this file makes `git clone` into `custom_nodes/` enough."""

import importlib
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent

if __name__ in ("actors", "cluster", "farm", "jobs"):
    # The checkout has the name of a package inside it, and Python found it first, from the folder above.
    del sys.modules[__name__]
    sys.path.insert(0, str(_HOME))
    importlib.import_module(__name__)
else:
    # At the end: other packs and ComfyUI itself keep their own modules.
    if str(_HOME) not in sys.path:
        sys.path.append(str(_HOME))
    try:
        import actors.chain  # noqa: F401
        import jobs.frames  # noqa: F401
        from farm.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
    except ModuleNotFoundError as error:
        _taken = {
            name: getattr(sys.modules.get(name), "__file__", None) for name in ("actors", "farm", "jobs")
        }
        raise ImportError(
            f"ltx-farm's nodes cannot load: no module {error.name!r}. If another custom node pack owns one "
            f"of these names, disable it: {_taken}. Otherwise install the missing package."
        ) from error
    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
