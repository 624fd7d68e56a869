//! How many descriptors the process may have: a connection takes one at each end.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open besides its connections, with something to spare.
const OTHERS: u64 = 32;

/// Raises the limit of this process for that many connections, if it has to be raised.
///
/// # Errors
///
/// A sentence that says what is missing and who can change it.
pub fn allow(connections: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let need = connections + OTHERS;
    if limit.current.is_none_or(|current| current >= need) {
        return Ok(());
    }
    if let Some(most) = limit.maximum
        && most < need
    {
        return Err(format!(
            "{connections} connections need {need} file descriptors, and this process may have {most}: \
             ask for fewer connections, or raise the hard limit (`ulimit -Hn {need}`, as root)"
        ));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(need), maximum: limit.maximum })
        .map_err(|why| format!("cannot raise the limit of file descriptors to {need}: {why}"))
}
