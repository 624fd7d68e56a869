//! Channels and select: who meets whom, who runs on, closing, what is thrown through, and deadlocks.
#![cfg(feature = "std")]

mod common;
use common::{Drops, Log, caught, deep, overwrite};
use greenlet::payload_text;
use greenlet::tasklet::{
    self, Channel, Operation, Preference, ReceiveError, Select, SendError, Tasklet, WaitError,
};

fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: the tests keep no pointers into the frames of their tasklets.
    unsafe { tasklet::spawn(body) }
}

/// A tasklet that receives so often, from some depth, and writes down what.
fn receiver(
    log: &Log<String>,
    name: &'static str,
    channel: &Channel<u32>,
    times: usize,
) -> Tasklet {
    let (log, channel) = (log.clone(), channel.clone());
    spawn(move || {
        for depth in 0..times {
            match deep(depth, || channel.receive()) {
                Ok(value) => log.push(format!("{name} got {value}")),
                Err(error) => log.push(format!("{name}: {error}")),
            }
        }
    })
}

/// A tasklet that sends these, and writes down when.
fn sender(
    log: &Log<String>,
    name: &'static str,
    channel: &Channel<u32>,
    values: &[u32],
) -> Tasklet {
    let (log, channel, values) = (log.clone(), channel.clone(), values.to_vec());
    spawn(move || {
        for (depth, value) in values.into_iter().enumerate() {
            match deep(depth, || channel.send(value)) {
                Ok(()) => log.push(format!("{name} sent {value}")),
                Err(error) => log.push(format!("{name}: {error}")),
            }
        }
    })
}

#[test]
fn with_receiver_preference_the_receiver_runs_on() {
    let (channel, log) = (Channel::new(), Log::new());
    assert_eq!(channel.preference(), Preference::Receiver);
    receiver(&log, "r", &channel, 2);
    sender(&log, "s", &channel, &[1, 2]);
    tasklet::run();
    // The first finds nobody and waits; the sender meets it and lets it run.
    assert_eq!(log.take(), ["r got 1", "s sent 1", "r got 2", "s sent 2"]);
}

#[test]
fn with_sender_preference_the_sender_runs_on() {
    let (channel, log) = (Channel::with_preference(Preference::Sender), Log::new());
    sender(&log, "s", &channel, &[1, 2]);
    receiver(&log, "r", &channel, 2);
    tasklet::run();
    assert_eq!(log.take(), ["s sent 1", "r got 1", "s sent 2", "r got 2"]);
}

#[test]
fn with_no_preference_the_one_that_runs_goes_on() {
    let (channel, log) = (Channel::with_preference(Preference::Neither), Log::new());
    sender(&log, "s", &channel, &[1, 2]);
    receiver(&log, "r", &channel, 2);
    tasklet::run();
    assert_eq!(log.take(), ["r got 1", "s sent 1", "s sent 2", "r got 2"]);
}

#[test]
fn who_comes_first_is_served_first_and_the_balance_counts() {
    let (channel, log) = (Channel::new(), Log::new());
    for name in ["a", "b", "c"] {
        receiver(&log, name, &channel, 1);
    }
    assert_eq!((tasklet::run(), channel.balance()), (3, -3));
    for value in 0..3 {
        channel.send(value).unwrap();
    }
    assert_eq!(log.take(), ["a got 0", "b got 1", "c got 2"]);
    for (name, value) in [("a", 1), ("b", 2), ("c", 3)] {
        sender(&log, name, &channel, &[value]);
    }
    assert_eq!((tasklet::run(), channel.balance()), (3, 3));
    assert_eq!([channel.receive().unwrap(), channel.receive().unwrap()], [1, 2]);
    assert_eq!(channel.try_receive().unwrap(), 3);
    assert_eq!(channel.balance(), 0);
    tasklet::run();
    assert_eq!(log.take(), ["a sent 1", "b sent 2", "c sent 3"]);
}

#[test]
fn the_try_forms_never_wait() {
    let (channel, log) = (Channel::new(), Log::new());
    assert!(matches!(channel.try_send(7), Err(SendError::WouldBlock(7))));
    assert!(matches!(channel.try_receive(), Err(ReceiveError::WouldBlock)));
    receiver(&log, "r", &channel, 1);
    tasklet::run();
    channel.try_send(8).unwrap();
    sender(&log, "s", &channel, &[9]);
    tasklet::run();
    assert_eq!(channel.try_receive().unwrap(), 9);
    tasklet::run();
    assert_eq!(log.take(), ["r got 8", "s sent 9"]);
    channel.close();
    assert!(matches!(channel.try_send(1), Err(SendError::Closed(1))));
    assert!(matches!(channel.try_receive(), Err(ReceiveError::Closed)));
}

#[test]
fn closing_wakes_receivers_and_leaves_senders_that_came_before() {
    let (channel, log) = (Channel::new(), Log::new());
    receiver(&log, "a", &channel, 1);
    receiver(&log, "b", &channel, 1);
    tasklet::run();
    channel.close();
    assert!(channel.is_closed() && channel.balance() == 0);
    tasklet::run();
    assert_eq!(log.take(), ["a: the channel is closed", "b: the channel is closed"]);

    let channel = Channel::new();
    sender(&log, "c", &channel, &[1, 2]);
    tasklet::run();
    channel.close();
    assert_eq!(channel.receive().unwrap(), 1);
    assert!(matches!(channel.receive(), Err(ReceiveError::Closed)));
    tasklet::run();
    assert_eq!(log.take(), ["c sent 1", "c: the channel is closed"]);
    channel.open();
    sender(&log, "d", &channel, &[3]);
    assert_eq!(channel.receive().unwrap(), 3);
}

#[test]
fn what_is_thrown_through_a_channel_is_received_and_ends_an_iteration() {
    let channel = Channel::<u32>::new();
    let thrower = channel.clone();
    let first = spawn(move || {
        thrower.send(1).unwrap();
        thrower.throw(Box::new("no more")).unwrap();
        thrower.throw(Box::new("not at all")).unwrap();
    });
    let mut sum = 0;
    let payload = caught(|| channel.iter().for_each(|value| sum += value));
    assert_eq!((sum, payload_text(&payload)), (1, "no more"));
    match channel.receive() {
        Err(ReceiveError::Thrown(payload)) => assert_eq!(payload_text(&payload), "not at all"),
        other => panic!("{other:?}"),
    }
    first.join().unwrap();
    channel.close();
    let back = channel.throw(Box::new("back")).unwrap_err().into_inner();
    assert_eq!(payload_text(&back), "back");
}

#[test]
fn values_arrive_whole_or_come_back_and_are_dropped_once() {
    let drops = Drops::new();
    let channel = Channel::new();
    let (a, b) = (channel.clone(), channel.clone());
    let tokens: Vec<_> = (0..3).map(|_| drops.token()).collect();
    let receives = spawn(move || a.receive().unwrap());
    let sends = spawn(move || tokens.into_iter().for_each(|token| b.send(token).unwrap()));
    let got = receives.join().unwrap();
    assert_eq!(drops.count(), 0);
    drop(got);
    drop(channel.receive());
    assert_eq!(drops.count(), 2);
    tasklet::run();
    sends.kill().unwrap();
    assert_eq!((drops.count(), channel.balance()), (3, 0));
    let back = channel.try_send(drops.token()).unwrap_err().into_inner();
    assert_eq!(drops.count(), 3);
    drop(back);
    assert_eq!(drops.count(), 4);
}

#[test]
fn large_values_and_values_without_a_size_travel() {
    let (large, none) = (Channel::<[u64; 100]>::new(), Channel::<()>::new());
    let (a, b) = (large.clone(), none.clone());
    let child = spawn(move || {
        let value = deep(7, || a.receive().unwrap());
        b.send(()).unwrap();
        value.iter().sum::<u64>()
    });
    large.send(std::array::from_fn(|n| n as u64)).unwrap();
    overwrite(30);
    none.receive().unwrap();
    assert_eq!(child.join().unwrap(), 4950);
}

#[test]
fn a_deadlock_says_who_waits_for_what() {
    let (wanted, other) = (Channel::<u32>::new(), Channel::<String>::new());
    wanted.set_name("wanted");
    let (a, b, c) = (wanted.clone(), other.clone(), other.clone());
    let first = spawn(move || a.receive().map(|_| ()));
    first.set_name("first");
    let second = spawn(move || {
        let wait = Select::new().send(&b, String::new(), |_| ()).receive(&wanted, |_| ());
        wait.wait().unwrap();
    });
    let third = spawn(move || second.join().is_ok());
    let error = match other.try_receive() {
        Err(ReceiveError::WouldBlock) => third.join().unwrap_err(),
        other => panic!("{other:?}"),
    };
    let text = error.to_string();
    let greenlet::tasklet::JoinError::Deadlock(deadlock) = error else { panic!("{error:?}") };
    assert_eq!((deadlock.total(), deadlock.blocked().len()), (4, 4));
    let who: Vec<_> = deadlock.blocked().iter().map(|blocked| blocked.tasklet.as_str()).collect();
    assert_eq!(who, ["main", "tasklet 1 `first`", "tasklet 2", "tasklet 3"]);
    let wants: Vec<Vec<_>> = deadlock
        .blocked()
        .iter()
        .map(|blocked| blocked.waits.iter().map(|wait| wait.operation).collect())
        .collect();
    use Operation::{Join, Receive, Send};
    assert_eq!(wants, [vec![Join], vec![Receive], vec![Send, Receive], vec![Join]]);
    assert_eq!(deadlock.blocked()[1].waits[0].with, "channel `wanted` of u32");
    let file = file!();
    for blocked in deadlock.blocked() {
        assert_eq!(blocked.at.file(), file);
        assert!(blocked.waits.iter().all(|wait| wait.made.file() == file));
    }
    assert!(text.contains("tasklet 1 `first` waits at"), "{text}");
    assert!(text.contains("to receive from channel `wanted` of u32"), "{text}");
    // The others go on waiting.
    assert_eq!((c.receive().unwrap(), tasklet::blocked_count()), (String::new(), 2));
    assert!(first.is_blocked());
}

#[test]
fn every_way_in_which_main_waits_ends_in_a_deadlock() {
    let channel = Channel::<u32>::new();
    assert!(matches!(channel.receive(), Err(ReceiveError::Deadlock(_))));
    match channel.send(5) {
        Err(SendError::Deadlock(5, deadlock)) => assert_eq!(deadlock.total(), 1),
        other => panic!("{other:?}"),
    }
    assert!(matches!(tasklet::pause(), Err(WaitError::Deadlock(_))));
    assert!(matches!(tasklet::main().wait(), Err(WaitError::Deadlock(_))));
    let empty = Select::<()>::new().wait().unwrap_err();
    assert!(empty.to_string().ends_with("for nothing"), "{empty}");
    let select = Select::new().receive(&channel, |_| ()).send(&channel, 1, |_| ());
    assert!(matches!(select.wait(), Err(WaitError::Deadlock(_))));
    assert_eq!(channel.balance(), 0);
    // The one that is the last to wait is not main.
    let receiver = channel.clone();
    let child = spawn(move || receiver.receive().unwrap());
    let WaitError::Deadlock(deadlock) = tasklet::pause().unwrap_err() else { panic!() };
    assert!(deadlock.blocked()[0].paused && deadlock.total() == 2);
    assert!(deadlock.to_string().contains("until it is inserted"), "{deadlock}");
    // The one that is the last to run finishes.
    spawn(|| ());
    assert!(matches!(tasklet::pause(), Err(WaitError::Deadlock(_))));
    channel.send(3).unwrap();
    assert_eq!(child.join().unwrap(), 3);
    let payload = caught(|| channel.iter().next());
    assert!(payload_text(&payload).starts_with("deadlock: nobody can run"));
}

#[test]
fn a_deadlock_of_very_many_is_not_reported_in_full() {
    let channel = Channel::<u32>::new();
    for _ in 0..1000 {
        let channel = channel.clone();
        spawn(move || channel.receive().is_ok());
    }
    let Err(ReceiveError::Deadlock(deadlock)) = channel.receive() else { panic!() };
    assert_eq!((deadlock.total(), deadlock.blocked().len()), (1001, 100));
    assert!(deadlock.to_string().ends_with("and 901 more"));
    assert_eq!(deadlock.blocked()[0].tasklet, "main");
}

#[test]
fn select_takes_the_first_that_is_ready() {
    let (a, b) = (Channel::<u32>::new(), Channel::<u32>::new());
    let log = Log::new();
    let both = |a: &Channel<u32>, b: &Channel<u32>| {
        let select = Select::new()
            .receive(a, |value| format!("a {:?}", value.ok()))
            .receive(b, |value| format!("b {:?}", value.ok()));
        select.try_now().unwrap_or_else(|_| "none".into())
    };
    assert_eq!(both(&a, &b), "none");
    sender(&log, "b", &b, &[1]);
    tasklet::run();
    sender(&log, "a", &a, &[2]);
    tasklet::run();
    assert_eq!(both(&a, &b), "a Some(2)");
    assert_eq!(both(&a, &b), "b Some(1)");
    a.close();
    assert_eq!(both(&a, &b), "a None");
}

#[test]
fn select_waits_and_does_exactly_one() {
    let (a, b, out) = (Channel::<u32>::new(), Channel::<u32>::new(), Channel::<u32>::new());
    let (a2, b2, out2) = (a.clone(), b.clone(), out.clone());
    let log = Log::<String>::new();
    let inner = log.clone();
    let drops = Drops::new();
    let token = drops.token();
    let tokens = Channel::new();
    let tokens2 = tokens.clone();
    let child = spawn(move || {
        let mut token = Some(token);
        for _ in 0..4 {
            let select = Select::new()
                .receive(&a2, |value| format!("a {:?}", value.ok()))
                .receive(&b2, |value| format!("b {:?}", value.ok()))
                .send(&out2, 9, |sent| format!("out {sent:?}"));
            let select = match token.take() {
                Some(token) => select.send(&tokens2, token, |sent| format!("token {sent:?}")),
                None => select,
            };
            inner.push(deep(5, || select.wait().unwrap()));
        }
    });
    tasklet::run();
    overwrite(30);
    assert_eq!((a.balance(), b.balance(), out.balance(), tokens.balance()), (-1, -1, 1, 1));
    b.send(4).unwrap();
    assert_eq!(drops.count(), 1, "what was not sent is dropped");
    assert_eq!((a.balance(), b.balance(), out.balance(), tokens.balance()), (-1, -1, 1, 0));
    assert_eq!(out.receive().unwrap(), 9);
    tasklet::run();
    a.send(5).unwrap();
    b.close();
    child.join().unwrap();
    assert_eq!((a.balance(), out.balance()), (0, 0));
    assert_eq!(log.take(), ["b Some(4)", "out Ok(())", "a Some(5)", "b None"]);
}

#[test]
fn two_selects_meet_each_other_and_never_themselves() {
    let (ping, log) = (Channel::<u32>::new(), Log::<String>::new());
    for name in ["x", "y"] {
        let (ping, log) = (ping.clone(), log.clone());
        spawn(move || {
            let did = Select::new()
                .send(&ping, 1, |sent| format!("{name} sent {}", sent.is_ok()))
                .receive(&ping, |value| format!("{name} got {:?}", value.ok()))
                .wait();
            log.push(did.unwrap());
        });
    }
    assert_eq!(tasklet::run(), 0);
    // `y` finds `x` as a receiver first, as sending is the first that it tries.
    assert_eq!(log.take(), ["x got Some(1)", "y sent true"]);
    assert_eq!(ping.balance(), 0);
}

#[test]
fn a_killed_select_leaves_nothing_behind() {
    let (a, drops) = (Channel::new(), Drops::new());
    let (inner, token) = (a.clone(), drops.token());
    let child = spawn(move || {
        let never = Channel::<()>::new();
        Select::new().send(&inner, token, |_| ()).receive(&never, |_| ()).wait()
    });
    tasklet::run();
    assert_eq!((a.balance(), drops.count()), (1, 0));
    child.kill().unwrap();
    assert_eq!((a.balance(), drops.count()), (0, 1));
    assert!(matches!(a.try_receive(), Err(ReceiveError::WouldBlock)));
}

#[test]
fn clones_are_the_same_channel_and_names_are_kept() {
    let channel = Channel::<u8>::default();
    let same = channel.clone();
    assert!(channel == same && channel != Channel::new());
    same.set_name("requests");
    assert_eq!(channel.name().as_deref(), Some("requests"));
    same.set_preference(Preference::Neither);
    assert_eq!(channel.preference(), Preference::Neither);
    assert!(format!("{channel:?}").contains("requests"));
}

#[test]
fn main_keeps_what_it_was_given_if_it_is_removed_before_its_turn() {
    let channel = Channel::with_preference(Preference::Neither);
    let give = |value: u32| {
        let channel = channel.clone();
        spawn(move || {
            channel.send(value).unwrap();
            assert!(tasklet::main().is_ready());
            tasklet::main().remove().unwrap();
        })
    };
    // Nobody inserts it again. It goes on as the last, and nothing is lost.
    give(1);
    assert_eq!(channel.receive().unwrap(), 1);
    give(2);
    let got = Select::new().receive(&channel, |value| value.unwrap()).wait();
    assert_eq!(got.unwrap(), 2);
    spawn(|| tasklet::main().remove().unwrap());
    tasklet::schedule();
    let last = give(3);
    tasklet::schedule();
    assert_eq!(channel.balance(), 1);
    assert!(last.is_blocked());
}
