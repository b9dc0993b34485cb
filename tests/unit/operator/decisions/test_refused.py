"""ReplicaSets that were refused pods ask again by and by, and no others."""

from clusterous_operator.decisions import refused
from clusterous_operator.decisions.refused import AGAIN_SECONDS
from tests.unit.operator.making import FakeApi, make_app, settle

REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}


def test_what_was_refused_asks_again_each_time_that_has_passed() -> None:
    app, api = make_app(workers={"replicas": 2}), FakeApi()
    settle(app, api)
    api.run()
    workers = api.objects["Deployment", "sim-workers"]["status"]
    workers["conditions"] = [REFUSED]

    first, since = refused.due(api.observe(app), {}, 100.0)
    again = refused.look_again(since, 110.0)
    early, since = refused.due(api.observe(app), since, 110.0)
    late, since = refused.due(api.observe(app), since, 100.0 + AGAIN_SECONDS)
    workers["conditions"] = []
    after = refused.due(api.observe(app), since, 1000.0)

    assert (first, early) == ([], [])
    assert again == AGAIN_SECONDS - 10.0
    assert refused.look_again({"sim-workers": 100.0}, 100.0 + AGAIN_SECONDS) == 0.0
    assert [one.name for one in late] == ["sim-workers"]
    assert since == {"sim-workers": 100.0 + AGAIN_SECONDS}
    assert after == ([], {})
    assert refused.look_again({}, 1000.0) is None
