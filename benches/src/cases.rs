//! The table of everything that is measured.

use crate::shape::{Call, Inline};
use crate::{Case, ours, peers, tasklets};
use greenlet::tasklet::Preference;

pub const GENERATOR: &str = "main drives one, nothing to copy";
pub const PEERS: &str = "round trip of two that share the stack";
pub const TASKLETS: &str = "tasklets";
pub const TABLE: &str = "ret or jump, by frames above the switch";
pub const CREATE: &str = "create + run + finish";
pub const SIZE: &str = "by bytes of frame";
pub const ALIVE: &str = "by greenlets alive";
pub const DEPTH: &str = "by depth that is not overlapped";
pub const TURNS: &str = "main resumes all in turn";

/// All of them.
pub fn all() -> Vec<Case> {
    let mut all = vec![
        Case::new(GENERATOR, "Generator::next", ours::generator),
        Case::new(GENERATOR, "Greenlet::switch", ours::driven),
        Case::new(GENERATOR, "raw, inlined", ours::raw_generator::<Inline>),
        Case::new(GENERATOR, "raw, called", ours::raw_generator::<Call>),
        Case::new(GENERATOR, "corosensei", peers::corosensei),
        Case::new(GENERATOR, "generator", peers::generator_crate),
        Case::new(GENERATOR, "wasmtime-fiber", peers::wasmtime),
        Case::new(GENERATOR, "context (Boost)", peers::boost),
        Case::new(PEERS, "raw, inlined in two loops", ours::raw_different::<Inline, 0>)
            .target(25.0),
        Case::new(PEERS, "raw, inlined in one loop", ours::raw_same::<Inline, 0>).target(25.0),
        Case::new(PEERS, "raw, called from two loops", ours::raw_different::<Call, 0>),
        Case::new(PEERS, "raw, called from one loop", ours::raw_same::<Call, 0>),
        Case::new(PEERS, "raw, called, same 4 callers", ours::raw_same::<Call, 4>).target(40.0),
        Case::new(PEERS, "raw, inlined, same 4 callers", ours::raw_same::<Inline, 4>).target(40.0),
        Case::new(PEERS, "Greenlet::switch, two loops", ours::api_different::<0>),
        Case::new(PEERS, "Greenlet::switch, one loop", ours::api_same::<0>),
        Case::new(PEERS, "through a public function", ours::api_public).target(45.0),
        Case::new(PEERS, "Greenlet, same 4 callers", ours::api_same::<4>).target(40.0),
        Case::new(PEERS, "main drives two generators", ours::two_generators),
        Case::new(PEERS, "the same, corosensei", peers::corosensei_two),
        Case::new(CREATE, "raw", ours::raw_create).target(60.0),
        Case::new(CREATE, "Greenlet, closure of 0 bytes", ours::create::<0>).target(60.0),
        Case::new(CREATE, "Greenlet, closure of 8 bytes", ours::create::<8>).target(60.0),
        Case::new(CREATE, "Greenlet, closure of 64 bytes", ours::create::<64>).target(60.0),
        Case::new(CREATE, "corosensei, stack kept", peers::corosensei_create),
        Case::new(CREATE, "corosensei, stack of its own", peers::corosensei_create_own),
        Case::new(CREATE, "generator", peers::generator_crate_create),
        Case::new(CREATE, "wasmtime-fiber, stack kept", peers::wasmtime_create),
        Case::new(TASKLETS, "send + receive", || tasklets::channel(Preference::Receiver)),
        Case::new(TASKLETS, "the same, sender preferred", || tasklets::channel(Preference::Sender)),
        Case::new(TASKLETS, "send + select of two", tasklets::select),
        Case::new(TASKLETS, "schedule, main and one", || tasklets::turns(1)),
        Case::new(TASKLETS, "schedule, main and 63", || tasklets::turns(63)),
        Case::new(TASKLETS, "spawn + run + finish", tasklets::life),
        Case::new(TASKLETS, "spawn + join", tasklets::join),
        Case::new(TASKLETS, "a thousand spawned, run, finished", tasklets::lives),
        Case::new(SIZE, "64 B", ours::api_slice::<64>),
        Case::new(SIZE, "256 B", ours::api_slice::<256>),
        Case::new(SIZE, "1 KiB", ours::api_slice::<1024>),
        Case::new(SIZE, "4 KiB", ours::api_slice::<4096>),
        Case::new(SIZE, "16 KiB", ours::api_slice::<16384>),
        Case::new(SIZE, "64 KiB", ours::api_slice::<65536>),
    ];
    macro_rules! table {
        ($($depth:literal)*) => {$(
            let line = |what: &str| format!("{what}, {} deep", $depth);
            all.push(Case::new(TABLE, line("same callers, called"), ours::raw_same::<Call, $depth>));
            all.push(Case::new(TABLE, line("same callers, inlined"), ours::raw_same::<Inline, $depth>));
            all.push(Case::new(TABLE, line("same callers, Greenlet"), ours::api_same::<$depth>));
            all.push(Case::new(TABLE, line("different, called"), ours::raw_different::<Call, $depth>));
            all.push(Case::new(TABLE, line("different, inlined"), ours::raw_different::<Inline, $depth>));
            all.push(Case::new(TABLE, line("different, Greenlet"), ours::api_different::<$depth>));
        )*};
    }
    table!(0 1 4 8);
    for depth in [0, 10, 100, 1000] {
        all.push(Case::new(DEPTH, format!("{depth} frames"), move || ours::api_depth(depth)));
    }
    for alive in [0, 1_000, 10_000, 100_000, 1_000_000] {
        let case = Case::new(ALIVE, format!("{alive}"), move || ours::api_alive(alive));
        all.push(if alive > 10_000 { case.slow() } else { case });
    }
    for alive in [2, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let case = Case::new(TURNS, format!("{alive}"), move || ours::api_rotate(alive));
        all.push(if alive > 10_000 { case.slow() } else { case });
    }
    all
}
