//! The bridge under tokio: sockets, timeouts, cancellation, many at once on one thread.

use greenlet::bridge;
use greenlet_examples_async::{Blocking, serve};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Runs `test` on a runtime of one thread whose clock stands still while anybody can run.
fn on_tokio(paused: bool, test: impl Future<Output = ()> + 'static) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().enable_time().start_paused(paused);
    runtime.build().unwrap().block_on(LocalSet::new().run_until(test));
}

/// An expression that is nested so deep, and its value.
fn nested(depth: i64) -> (String, i64) {
    (0..depth).fold(("(+ 1)".into(), 1), |(text, value), n| {
        if n % 7 == 0 {
            (format!("(* 2 {text})"), 2 * value)
        } else {
            (format!("(+ {n} {text})"), n + value)
        }
    })
}

#[test]
fn a_synchronous_parser_serves_many_connections_on_one_thread() {
    on_tokio(false, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = Blocking::new(stream);
                // SAFETY: nothing outside points into the frames of `serve`.
                tokio::task::spawn_local(unsafe { bridge::enter(move || serve(&connection)) });
            }
        });
        let clients = (0..100).map(|client| {
            tokio::task::spawn_local(async move {
                let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
                for round in 0..5 {
                    let (text, value) = nested(client % 40 + round);
                    // In pieces, so that the parser waits in the middle, at some depth.
                    for piece in text.as_bytes().chunks(7) {
                        stream.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    assert_eq!(line, format!("{value}\n"), "{text}");
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    });
}

struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn timeouts_and_aborts_unwind_what_waits() {
    on_tokio(true, async {
        let drops = Rc::new(Cell::new(0));
        let slow = |seconds: u64| {
            let token = OnDrop(drops.clone());
            // SAFETY: nothing outside points into the closure's frames.
            unsafe {
                bridge::enter(move || {
                    let _token = token;
                    bridge::wait(tokio::time::sleep(Duration::from_secs(seconds)));
                    seconds
                })
            }
        };
        let late = tokio::time::timeout(Duration::from_secs(5), slow(60)).await;
        assert!(late.is_err());
        assert_eq!(drops.get(), 1);
        let soon = tokio::time::timeout(Duration::from_secs(5), slow(1)).await;
        assert_eq!((soon.ok(), drops.get()), (Some(1), 2));
        let task = tokio::task::spawn_local(slow(60));
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(drops.get(), 3);
        // A select whose other branch is first.
        tokio::select! {
            _ = slow(60) => unreachable!(),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn tokios_own_channels_and_locks_are_awaited() {
    on_tokio(true, async {
        let (send, receive) = tokio::sync::mpsc::channel::<u32>(2);
        let lock = Rc::new(tokio::sync::Mutex::new(0));
        let receive = Rc::new(tokio::sync::Mutex::new(receive));
        let workers = (0..10).map(|_| {
            let (lock, receive) = (lock.clone(), receive.clone());
            // SAFETY: nothing outside points into the closure's frames.
            tokio::task::spawn_local(unsafe {
                bridge::enter(move || {
                    let mut seen = 0;
                    loop {
                        let from = receive.clone();
                        let got = bridge::wait(async move { from.next_value().await });
                        let Some(number) = got else { return seen };
                        seen += 1;
                        let lock = lock.clone();
                        bridge::wait(async move { *lock.lock().await += number });
                    }
                })
            })
        });
        let workers: Vec<_> = workers.collect();
        for number in 1..=1000 {
            send.send(number).await.unwrap();
        }
        drop(send);
        let mut seen = 0;
        for worker in workers {
            seen += worker.await.unwrap();
        }
        assert_eq!((seen, *lock.lock().await), (1000, 500_500));
    });
}

/// One value of a receiver that is shared.
trait Shared {
    async fn next_value(&self) -> Option<u32>;
}

impl Shared for Rc<tokio::sync::Mutex<tokio::sync::mpsc::Receiver<u32>>> {
    async fn next_value(&self) -> Option<u32> {
        self.lock().await.recv().await
    }
}
