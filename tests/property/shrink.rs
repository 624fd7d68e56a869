//! Makes a program that fails shorter and plainer.

use crate::model::{Step, Style, Ty};
use std::time::{Duration, Instant};

/// Leaves out steps, alone and in groups, and makes those that are left plainer, as long as `fails` says that the rest fails
/// too: it answers what of it was carried out.
pub fn shrink(steps: &mut Vec<Step>, mut fails: impl FnMut(&[Step]) -> Option<Vec<Step>>) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut attempt = |steps: &mut Vec<Step>, candidate: Vec<Step>| {
        if Instant::now() > end || candidate == *steps {
            return false;
        }
        let Some(rest) = fails(&candidate) else { return false };
        *steps = rest;
        true
    };
    loop {
        let before = steps.clone();
        let mut size = steps.len();
        while size > 0 {
            let mut from = 0;
            while from < steps.len() {
                let mut candidate = steps.clone();
                candidate.drain(from..(from + size).min(steps.len()));
                if !attempt(steps, candidate) {
                    from += size;
                }
            }
            size /= 2;
        }
        for at in 0..steps.len() {
            for plain in plainer(&steps[at.min(steps.len() - 1)]) {
                let mut candidate = steps.clone();
                if at < candidate.len() {
                    candidate[at] = plain;
                    attempt(steps, candidate);
                }
            }
        }
        // Two that need each other, such as recursion and return.
        let mut first = 0;
        while first < steps.len() {
            let mut second = first + 1;
            while second < steps.len() {
                let mut candidate = steps.clone();
                candidate.remove(second);
                candidate.remove(first);
                if !attempt(steps, candidate) {
                    second += 1;
                }
            }
            first += 1;
        }
        if *steps == before {
            return;
        }
    }
}

/// The same step with less to it.
fn plainer(step: &Step) -> Vec<Step> {
    match *step {
        Step::Create { id, parent, takes, gives, guard, captures } => {
            let create = |parent, takes, gives, captures| Step::Create {
                id,
                parent,
                takes,
                gives,
                guard,
                captures,
            };
            vec![
                create(None, takes, gives, captures),
                create(parent, takes, gives, None),
                create(parent, Ty::Small, gives, captures),
                create(parent, takes, Ty::Small, captures),
            ]
        }
        Step::Switch { to, value, send, want, style } => vec![
            Step::Switch { to, value, send, want, style: Style::Try },
            Step::Switch { to, value, send: Ty::Small, want, style },
            Step::Switch { to, value, send, want: Ty::Small, style },
        ],
        Step::Throw { to, payload, want, style } => vec![
            Step::Throw { to, payload, want, style: Style::Try },
            Step::Throw { to, payload, want: Ty::Small, style },
        ],
        Step::Deeper { catches, guard, .. } => vec![
            Step::Deeper { size: 0, catches, guard },
            Step::Deeper { size: 0, catches: false, guard },
        ],
        _ => Vec::new(),
    }
}
