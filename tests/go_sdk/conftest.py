"""The same merchant API as in tests/web/wm, for programs in other languages."""

from tests.web.wm.conftest import api, authority, registry, ring

__all__ = ["api", "authority", "registry", "ring"]
