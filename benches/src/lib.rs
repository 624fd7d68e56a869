//! What is measured: one table of cases, which criterion, the instruction counter and `compare` all read.
//!
//! A case is a closure that does its operation `n` times. It is made on the thread that runs it, and what it
//! holds is dropped with it.

pub mod cases;
pub mod clock;
pub mod count;
pub mod memory;
pub mod ours;
pub mod peers;
pub mod shape;
pub mod tasklets;

/// Does the operation so many times.
pub type Run = Box<dyn FnMut(u64)>;

/// One thing that is measured.
pub struct Case {
    /// The table that it belongs to.
    pub group: &'static str,
    /// The line in that table.
    pub name: String,
    /// The most that the project allows itself, in nanoseconds, if it says.
    pub target: Option<f64>,
    /// Takes so long to set up that only criterion's run of everything has it.
    pub slow: bool,
    /// Builds what is measured.
    pub make: Box<dyn Fn() -> Run>,
}

impl Case {
    pub fn new(
        group: &'static str,
        name: impl Into<String>,
        make: impl Fn() -> Run + 'static,
    ) -> Case {
        Case { group, name: name.into(), target: None, slow: false, make: Box::new(make) }
    }

    pub fn target(mut self, nanoseconds: f64) -> Case {
        self.target = Some(nanoseconds);
        self
    }

    pub fn slow(mut self) -> Case {
        self.slow = true;
        self
    }

    /// The name under which criterion and the instruction counter know it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}
