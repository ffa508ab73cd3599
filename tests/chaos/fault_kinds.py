"""Each kind of fault: it does something, lets it last, and heals it, also if the run ends meanwhile."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

from tests.support.stores import fill_disk, free_disk
from tests.support.waiting import eventually

from .cluster import SMALL_DISK
from .processes import HostProcess
from .scene import Scene

#: How long something stays down or frozen, hosts do not reach each other, a clock is wrong, a disk is full.
DOWN_SECONDS = (0.0, 6.0)
FROZEN_SECONDS = (1.0, 12.0)
CUT_SECONDS = (2.0, 20.0)
WRONG_CLOCK_SECONDS = (6.0, 15.0)
FULL_DISK_SECONDS = (3.0, 10.0)
CLOCK_STEP_SECONDS = 10.0
#: A broker in lame duck mode goes within 32 s.
LAME_DUCK_SECONDS = 45.0
#: For one process to come back, in a rolling restart or while it is cut off.
BACK_SECONDS = 60.0
#: What nat-server says of a stream that it writes to no more, until it is restarted.
CRITICAL = b"Critical write error"

#: What a kind does with its scene.
Kind = Callable[[Scene], Awaitable[None]]


async def kill_broker(scene: Scene) -> None:
    """SIGKILL; it is started again within 6 s."""
    await _take_down(scene, scene.dice.choice(scene.cluster.brokers))


async def kill_service(scene: Scene) -> None:
    """The same to a service or an edge."""
    await _take_down(scene, scene.dice.choice(scene.cluster.asking()))


async def freeze_broker(scene: Scene) -> None:
    """Stop a broker in the middle of whatever it does; its connections stay open."""
    await _freeze(scene, scene.dice.choice(scene.cluster.brokers))


async def freeze_service(scene: Scene) -> None:
    """Stop a service or an edge in the same way."""
    await _freeze(scene, scene.dice.choice(scene.cluster.asking()))


async def freeze_quorum(scene: Scene) -> None:
    """Stop two brokers: the third one answers, and can store nothing."""
    frozen = scene.dice.sample(scene.cluster.brokers, 2)
    scene.begin(", ".join(broker.name for broker in frozen))
    scene.hosts_cut_off = tuple(host.name for host in scene.cluster.network.hosts)
    for broker in frozen:
        broker.freeze()
    try:
        await scene.last(FROZEN_SECONDS)
    finally:
        for broker in frozen:
            broker.thaw()


async def cut_host(scene: Scene) -> None:
    """Pull the cable of a host: its broker has no quorum, and its services reach at most that broker."""
    host = scene.dice.choice(scene.cluster.network.hosts)
    scene.begin(host.name)
    scene.hosts_cut_off = (host.name,)
    scene.cluster.network.cut(host)
    try:
        await scene.last(CUT_SECONDS)
    finally:
        scene.cluster.network.connect(host)


async def cut_host_one_way(scene: Scene) -> None:
    """Let a host hear nothing of all others, or let nobody hear it: half-open connections everywhere."""
    host, is_mute = scene.dice.choice(scene.cluster.network.hosts), scene.dice.choice((True, False))
    scene.begin(f"{host.name} {'is not heard' if is_mute else 'hears nothing'}")
    scene.hosts_cut_off = (host.name,)
    network = scene.cluster.network
    (network.mute if is_mute else network.deafen)(host)
    try:
        await scene.last(CUT_SECONDS)
    finally:
        network.heal(host)


async def restart_edge_cut_off(scene: Scene) -> None:
    """Kill an edge whose host is cut off: it has to be back with what it served."""
    edge = scene.dice.choice([edge for edges in scene.cluster.edges.values() for edge in edges])
    scene.begin(f"{edge.name} on {edge.host.name}")
    scene.hosts_cut_off = (edge.host.name,)
    scene.cluster.network.cut(edge.host)
    try:
        await scene.last(DOWN_SECONDS)
        await edge.take_down(signal.SIGKILL)
        edge.let_run()
        await _be_back(scene, edge)
    finally:
        edge.let_run()
        scene.cluster.network.connect(edge.host)


async def separate_hosts(scene: Scene) -> None:
    """Drop everything between two hosts; both reach the third one."""
    one, other = scene.dice.sample(scene.cluster.network.hosts, 2)
    scene.begin(f"{one.name} and {other.name}")
    scene.cluster.network.separate(one, other)
    try:
        await scene.last(CUT_SECONDS)
    finally:
        scene.cluster.network.reunite(one, other)


async def separate_hosts_one_way(scene: Scene) -> None:
    """Drop what one host sends to another one, and nothing else."""
    one, other = scene.dice.sample(scene.cluster.network.hosts, 2)
    scene.begin(f"from {one.name} to {other.name}")
    scene.cluster.network.separate_one_way(one, other)
    try:
        await scene.last(CUT_SECONDS)
    finally:
        scene.cluster.network.reunite(one, other)


async def roll_brokers(scene: Scene) -> None:
    """Restart one broker after the other, each once the one before it has what the others have."""
    await _roll(scene, scene.cluster.brokers)


async def roll_services(scene: Scene) -> None:
    """Restart one service and edge after the other."""
    await _roll(scene, scene.cluster.asking())


async def lame_duck(scene: Scene) -> None:
    """Let a broker hand over its leaderships and clients, and go."""
    broker = scene.dice.choice(scene.cluster.brokers)
    scene.begin(broker.name)
    try:
        await broker.take_down(signal.SIGUSR2, LAME_DUCK_SECONDS)
    finally:
        broker.let_run()


async def step_clock(scene: Scene) -> None:
    """Let all services of a host see a time that is 10 s ahead or behind."""
    host = scene.dice.choice(scene.cluster.network.hosts)
    step = scene.dice.choice((CLOCK_STEP_SECONDS, -CLOCK_STEP_SECONDS))
    scene.begin(f"{host.name} {step:+g} s")
    scene.cluster.set_clock(host, step)
    try:
        await scene.last(WRONG_CLOCK_SECONDS)
    finally:
        scene.cluster.set_clock(host, 0)


async def fill_a_disk(scene: Scene) -> None:
    """Let the disk of one broker be full; then make space, and restart it if its log asks for that."""
    broker = next(each for each in scene.cluster.brokers if each.name == SMALL_DISK)
    disk = scene.cluster.store_folder(broker.name).parent
    scene.begin(broker.name)
    logged = broker.log.stat().st_size
    try:
        await asyncio.to_thread(fill_disk, disk)
        await scene.last(FULL_DISK_SECONDS)
    finally:
        free_disk(disk)
    if CRITICAL in broker.log.read_bytes()[logged:]:
        scene.note("is restarted: its log says that it stopped writing")
        await broker.take_down(signal.SIGTERM)
        broker.let_run()


async def kill_all_brokers(scene: Scene) -> None:
    """SIGKILL to all three at the same moment."""
    await _take_down(scene, *scene.cluster.brokers)


async def kill_all_replicas(scene: Scene) -> None:
    """SIGKILL to all replicas of a service, or all edges of a region, at the same moment."""
    await _take_down(scene, *scene.dice.choice(scene.cluster.replicas()))


async def _take_down(scene: Scene, *processes: HostProcess) -> None:
    scene.begin(", ".join(process.name for process in processes))
    try:
        await asyncio.gather(*(process.take_down(signal.SIGKILL) for process in processes))
        await scene.last(DOWN_SECONDS)
    finally:
        for process in processes:
            process.let_run()


async def _freeze(scene: Scene, process: HostProcess) -> None:
    scene.begin(process.name)
    process.freeze()
    try:
        await scene.last(FROZEN_SECONDS)
    finally:
        process.thaw()


async def _roll(scene: Scene, processes: list[HostProcess]) -> None:
    scene.begin(", ".join(process.name for process in processes))
    for process in processes:
        try:
            await process.take_down(signal.SIGTERM)
        finally:
            process.let_run()
        await _be_back(scene, process)


async def _be_back(scene: Scene, process: HostProcess) -> None:
    """Wait until a process is ready, although the fault lasts; if it is not, the history says so.

    A broker is, once all replicas are current.
    """
    cluster = scene.cluster

    async def look() -> bool:
        is_ready = process.is_running and await process.ask(cluster.http) is None
        return is_ready and not (process in cluster.brokers and await cluster.incomplete())

    try:
        await eventually(look, f"{process.name} is ready", BACK_SECONDS)
    except AssertionError:
        scene.unready[process.name] = f"did not come back within {BACK_SECONDS:g} s, during the fault"


KINDS: Mapping[str, Kind] = {
    "kill a broker": kill_broker,
    "kill a service": kill_service,
    "freeze a broker": freeze_broker,
    "freeze a service": freeze_service,
    "freeze two brokers": freeze_quorum,
    "cut a host off": cut_host,
    "cut a host off, one way": cut_host_one_way,
    "restart an edge, cut off": restart_edge_cut_off,
    "separate two hosts": separate_hosts,
    "separate two hosts, one way": separate_hosts_one_way,
    "roll the brokers": roll_brokers,
    "roll the services": roll_services,
    "lame duck": lame_duck,
    "step a clock": step_clock,
    "fill a disk": fill_a_disk,
    "kill all brokers": kill_all_brokers,
    "kill all replicas": kill_all_replicas,
}
