//! Instructions of one operation of every case, by callgrind.

use greenlet_benches::{cases, count};

fn main() {
    let cases = cases::all();
    count::child(&cases);
    let counts = count::all();
    if counts.is_empty() {
        println!("instructions: no valgrind here");
        return;
    }
    println!("{:>12}  case", "instructions");
    for case in &cases {
        if let Some(count) = counts.get(&case.id()) {
            println!("{count:>12.0}  {}", case.id());
        }
    }
}
