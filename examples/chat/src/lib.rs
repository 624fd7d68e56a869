//! A chat server on sockets, written as if each connection had a thread: `read_line`, `write_all`, timeouts. Each has two tasklets
//! instead, and one thread has them all. And a client that opens thousands of connections and checks every line.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `reactor` | the epoll loop: which tasklet waits for which socket, and until when |
//! | `net` | sockets whose operations wait as blocking ones do |
//! | `room` | who is where, and what each has still to be sent |
//! | `server` | connections, from the first line to the last |
//! | `load` | the client |
//! | `limit` | how many descriptors the process may have |
//!
//! It is for Unix: it is stopped through a socket pair, and asks for more descriptors.
#![cfg(unix)]

pub mod limit;
pub mod load;
pub mod net;
pub mod reactor;
mod room;
pub mod server;

use greenlet::tasklet::{self, Tasklet};

/// Spawns a tasklet, for the modules of this program.
///
/// They keep the contract of [`tasklet::spawn`]: what the kernel is lent is lent for one call that does not wait, no
/// closure here hands out pointers into its frames, and there is no other thread.
fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: as said above.
    unsafe { tasklet::spawn(body) }
}
