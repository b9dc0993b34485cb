"""What befalls one operator in a life, beside weather: death, freezing, lost rights, a crash."""

import time
from collections.abc import Sequence

from tests.chaos import faults, stories
from tests.chaos.site import Ending, Site, StuckError
from tests.chaos.stories import STORIES
from tests.chaos.violation import Violation
from tests.cluster import metricsapi


def begins_from_stale_lists(
    site: Site, wanted: Ending, *, story: str = "life"
) -> Sequence[Violation]:
    """Restart the operator before each step, and let it begin from lists that are a step old."""
    stale = faults.StaleLists()
    lag = faults.Lags(seconds=1.0)
    post = site.man(faults=(stale, lag))
    first, *steps = STORIES[story].whole
    stories.tell(site, (first,))
    stale.serving = True
    for step in steps:
        post.operator.kill()
        stories.tell(site, (step,))
        stale.serving = False
        stale.forget()
        post.operator.kill()  # it lists the present; that is what the next one is shown
        site.until(lambda _: post.operator.answers("/readyz"), "the restart")
        stale.serving = True
    site.settle(wanted)
    return ()


def watches_fall_silent(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let all watches fall silent before the user changes something."""
    silence = faults.Silences()
    site.man(faults=(silence,))
    first, *rest = STORIES["short"].steps
    stories.tell(site, (first,))
    site.wait_quiet()
    for step in rest:
        silence.silence()
        stories.tell(site, (step,))
    site.settle(wanted)
    return ()


def killed_at_each_write(site: Site, wanted: Ending, *, story: str = "life") -> Sequence[Violation]:
    post = site.man()
    kills = faults.KillsEach(namespace=site.namespace, times=60, kill=post.operator.kill)
    site.trouble(post, kills)
    stories.tell(site, STORIES[story].whole)
    site.trouble(post)
    site.settle(wanted)
    return ()


def tokens_expire(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Refuse the token before each step; the new one lies in the file a moment later."""
    post = site.man()
    tokens = faults.Tokens(post.operator.token)
    site.trouble(post, tokens)
    for step in STORIES["life"].steps:
        stories.tell(site, (step,))
        refused, renewed = tokens.strikes, site.grounds.token()
        tokens.current = renewed
        site.grounds.background.do(post.proxy.cut())
        site.until(lambda _, refused=refused: tokens.strikes > refused, "a refusal")  # type: ignore[misc]
        post.operator.token = renewed
        post.operator.write_kubeconfig()
    site.settle(wanted)
    return ()


def cut_off(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Cut the operator off while the user goes on."""
    post = site.man()
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    for step in steps[1:]:
        partition = faults.Partition()
        site.trouble(post, partition)
        site.grounds.background.do(post.proxy.cut())
        stories.begin(site, step)
        time.sleep(2.0)
        site.trouble(post)
        site.until(step.reached, f"the end of “{step.name}” after the partition")
    site.settle(wanted)
    return ()


def ended_in_good_order(site: Site, wanted: Ending) -> Sequence[Violation]:
    """End the operator in good order right after each step was asked for."""
    post = site.man()
    for step in STORIES["life"].steps:
        # Before it has begun to work, Python ends as any program does, by the signal.
        site.until(lambda _: post.operator.answers("/readyz"), "the operator")
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.5))
        if (code := post.operator.stop()) != 0:
            raise StuckError(f"the operator ended with code {code} when it was told to end")
        post.operator.start()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


def frozen(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let the operator stand still while the user goes on; then let it wake up in another world."""
    post = site.man()
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    for step in steps[1:]:
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.2))
        post.operator.freeze()
        time.sleep(3.0)
        post.operator.thaw()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


def clock_jumps(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let its clock jump by a day, forward and back, at each step."""
    post = site.man()
    for number, step in enumerate(STORIES["life"].steps):
        post.operator.shift_clock((86_400.0, -86_400.0, 0.0)[number % 3])
        stories.tell(site, (step,))
    site.settle(wanted)
    return ()


def apiserver_crashes(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Crash the API server in the midst of each step."""
    site.man()
    for step in STORIES["life"].steps:
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.1, 0.8))
        site.grounds.plane.restart_apiserver()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


# Long enough to be suspended twice over, if there were no doubt.
_DOUBT_SECONDS = 65.0


def usage_is_in_doubt(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Keep back one pod's figures, then all of them: the app runs on until there is no doubt."""
    post = site.man()
    story = STORIES["idle"]
    stories.tell(site, story.prepare)
    stories.use(site, "2m", but=1)
    found = _sleeps(site, "one pod had no figures")
    refuses = faults.Refuses(
        site.rng,
        code=503,
        reason="ServiceUnavailable",
        which=lambda call: call.path.startswith(metricsapi.PATH),
        share=1.0,
    )
    site.trouble(post, refuses)
    stories.use(site, "2m")
    found += _sleeps(site, "the metrics API did not answer")
    site.trouble(post)
    stories.tell(site, story.steps)
    site.settle(wanted)
    return found


def _sleeps(site: Site, doubt: str) -> list[Violation]:
    """Watch for a while; return a violation if the app is suspended."""
    end = time.monotonic() + _DOUBT_SECONDS
    while time.monotonic() < end:
        site.tend()
        if stories.says("Suspended")(site.world()):
            what = f"suspended although {doubt}"
            return [Violation(rule="falsely idle", subject=stories.NAME, version=0, what=what)]
        time.sleep(0.5)
    return []
