import daskflow as fl


@fl.task
def increment(num: int) -> int:
    return num + 1

@fl.workflow
def child(num: int) -> int:
    return increment(num=num)

child_lp = fl.LaunchPlan.get_or_create(child)

@fl.dynamic
def spawn(n: int) -> list[int]:
    l = []
    for i in [1,2,3,4,5]:
        l.append(child_lp(num=i).with_overrides(cache=True, cache_version="1.0.0"))

    # you can also pass l to another task if you want
    return l
