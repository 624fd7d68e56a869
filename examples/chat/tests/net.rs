//! The sockets and the loop under them: waiting, timeouts, kills, and that nobody keeps the others from running.
#![cfg(unix)]

use greenlet::tasklet::{self, Tasklet};
use greenlet_examples_chat::net::{Listener, Stream};
use greenlet_examples_chat::reactor::Reactor;
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: nothing outside points into the frames of this file's closures.
    unsafe { tasklet::spawn(body) }
}

/// Runs `body` with the two ends of a connection.
fn with_pair(body: impl FnOnce(&Rc<Reactor>, Stream, Stream) + 'static) {
    let reactor = Reactor::new().unwrap();
    let this = reactor.clone();
    let test = spawn(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Listener::new(&this, listener).unwrap();
        let left = Stream::connect(&this, address, LONG).unwrap();
        let right = listener.accept().unwrap();
        body(&this, left, right);
    });
    reactor.run().unwrap();
    test.join().unwrap();
}

/// Bytes that say where they are.
fn pattern(from: usize, bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (((from + index) * 31) >> 3) as u8;
    }
}

#[test]
fn far_more_than_the_kernel_takes_arrives_as_it_was_in_both_directions_at_once() {
    const BYTES: usize = 24 << 20;
    with_pair(|_, left, right| {
        let ends: Vec<_> = [left.clone(), right.clone()]
            .into_iter()
            .map(|mut stream| {
                spawn(move || {
                    let mut bytes = vec![0; BYTES];
                    pattern(0, &mut bytes);
                    stream.write_all(&bytes).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                })
            })
            .collect();
        let readers: Vec<_> = [left, right]
            .into_iter()
            .map(|mut stream| {
                spawn(move || {
                    let (mut at, mut bytes, mut expected) = (0, [0; 1000], [0; 1000]);
                    loop {
                        let count = stream.read(&mut bytes).unwrap();
                        if count == 0 {
                            return at;
                        }
                        pattern(at, &mut expected);
                        assert!(bytes[..count] == expected[..count], "from byte {at}");
                        at += count;
                    }
                })
            })
            .collect();
        ends.into_iter().for_each(|writer| writer.join().unwrap());
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), BYTES));
    });
}

#[test]
fn a_read_that_takes_too_long_is_an_error_and_the_stream_is_as_good_as_before() {
    with_pair(|reactor, mut left, mut right| {
        left.set_read_timeout(Some(Duration::from_millis(20)));
        let mut byte = [0];
        for _ in 0..3 {
            assert_eq!(left.read(&mut byte).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        right.write_all(b"x").unwrap();
        left.set_read_timeout(Some(LONG));
        assert_eq!((left.read(&mut byte).unwrap(), byte), (1, *b"x"));

        // The same if the byte comes while it waits.
        let this = reactor.clone();
        spawn(move || {
            this.sleep(Duration::from_millis(20)).unwrap();
            right.write_all(b"y").unwrap();
        });
        assert_eq!((left.read(&mut byte).unwrap(), byte), (1, *b"y"));
        assert_eq!(left.read(&mut byte).unwrap(), 0, "the other end is gone");
    });
}

#[test]
fn a_write_that_takes_too_long_is_an_error() {
    with_pair(|_, mut left, right| {
        left.set_write_timeout(Some(Duration::from_millis(20)));
        let why = left.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::TimedOut);
        drop(right);
    });
}

#[test]
fn who_is_killed_while_it_waits_waits_no_more() {
    with_pair(|reactor, left, mut right| {
        for _ in 0..3 {
            let mut stream = left.clone();
            let reader = spawn(move || stream.read(&mut [0]));
            let this = reactor.clone();
            let sleeper = spawn(move || this.sleep(LONG));
            tasklet::schedule();
            assert!(reader.is_paused() && sleeper.is_paused());
            reader.kill().unwrap();
            sleeper.kill().unwrap();
            assert!(reader.join().is_err() && sleeper.join().is_err());
        }
        // Another one can wait there. That the loop ends shows that nobody is left in it.
        let mut stream = left.clone();
        let reader = spawn(move || stream.read(&mut [0]).unwrap());
        right.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn timers_end_in_the_order_of_their_times() {
    let reactor = Reactor::new().unwrap();
    let log = Rc::new(std::cell::RefCell::new(Vec::new()));
    for time in [30, 10, 20, 10, 0] {
        let (this, log) = (reactor.clone(), log.clone());
        spawn(move || {
            this.sleep(Duration::from_millis(time)).unwrap();
            log.borrow_mut().push(time);
        });
    }
    reactor.run().unwrap();
    assert_eq!(*log.borrow(), [0, 10, 10, 20, 30]);
}

#[test]
fn two_that_never_wait_do_not_keep_a_third_from_its_socket() {
    with_pair(|_, mut left, mut right| {
        let stop = Rc::new(Cell::new(false));
        for _ in 0..2 {
            let stop = stop.clone();
            spawn(move || {
                while !stop.get() {
                    tasklet::schedule();
                }
            });
        }
        for _ in 0..10 {
            let mut end = right.clone();
            let echo = spawn(move || {
                let mut byte = [0];
                end.read_exact(&mut byte).unwrap();
                end.write_all(&byte).unwrap();
            });
            tasklet::schedule();
            assert!(echo.is_paused());
            left.write_all(b"x").unwrap();
            left.read_exact(&mut [0]).unwrap();
            echo.join().unwrap();
        }
        right.write_all(b"!").unwrap();
        stop.set(true);
    });
}

#[test]
fn a_connection_that_nobody_accepts_is_refused() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let reactor = Reactor::new().unwrap();
    let this = reactor.clone();
    let test = spawn(move || Stream::connect(&this, address, LONG).map(drop).unwrap_err().kind());
    reactor.run().unwrap();
    assert_eq!(test.join().unwrap(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_loop_that_leaves_somebody_blocked_for_ever_says_so() {
    let reactor = Reactor::new().unwrap();
    let channel = tasklet::Channel::<u8>::new();
    channel.set_name("never");
    let inside = channel.clone();
    let lost = spawn(move || inside.receive());
    let why = reactor.run().unwrap_err().to_string();
    assert!(why.starts_with("nobody is left to meet ") && why.contains("`never`"), "{why}");
    lost.kill().unwrap();
    reactor.run().unwrap();
}
