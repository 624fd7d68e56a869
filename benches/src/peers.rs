//! The same with coroutines that have a stack each.

use crate::Run;
use context::{Context, Transfer, stack::ProtectedFixedSizeStack};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, ScopedCoroutine};
use generator::{Generator, Gn};
use std::hint::black_box;
use std::mem::ManuallyDrop;
use wasmtime_fiber::{Fiber, FiberStack, Suspend};

/// The stack of one coroutine, where the peer asks: what corosensei takes by default.
const STACK: usize = 1 << 20;

fn echo() -> Coroutine<usize, usize, ()> {
    Coroutine::new(|yielder, mut input| {
        loop {
            input = yielder.suspend(input);
        }
    })
}

/// A coroutine that must not be dropped unfinished, or need not be.
struct Forever<T>(ManuallyDrop<T>);

pub fn corosensei() -> Run {
    let mut coroutine = echo();
    Box::new(move |n| {
        for _ in 0..n {
            black_box(coroutine.resume(black_box(0)));
        }
    })
}

pub fn corosensei_two() -> Run {
    let (mut a, mut b) = (echo(), echo());
    Box::new(move |n| {
        for _ in 0..n {
            black_box(a.resume(black_box(0)));
            black_box(b.resume(black_box(0)));
        }
    })
}

/// On a stack that is kept from one to the next.
pub fn corosensei_create() -> Run {
    let mut stack = DefaultStack::default();
    Box::new(move |n| {
        for _ in 0..n {
            let coroutine =
                ScopedCoroutine::<usize, (), usize, _>::with_stack(&mut stack, |_, input| input);
            coroutine.scope(|mut coroutine| match coroutine.resume(black_box(0)) {
                CoroutineResult::Yield(()) => {}
                CoroutineResult::Return(value) => {
                    black_box(value);
                }
            });
        }
    })
}

/// On a stack of its own, as one that lives beside others needs it.
pub fn corosensei_create_own() -> Run {
    Box::new(|n| {
        for _ in 0..n {
            let mut coroutine = Coroutine::<usize, (), usize>::new(|_, input| input);
            black_box(coroutine.resume(black_box(0)).as_return());
        }
    })
}

fn gn() -> Generator<'static, usize, usize> {
    Gn::<usize>::new_scoped(|mut scope| {
        let mut value = 0;
        while let Some(next) = scope.yield_(value) {
            value = next;
        }
        generator::done!()
    })
}

pub fn generator_crate() -> Run {
    let mut generator = gn();
    generator.resume();
    Box::new(move |n| {
        for _ in 0..n {
            black_box(generator.send(black_box(0)));
        }
    })
}

pub fn generator_crate_create() -> Run {
    Box::new(|n| {
        for _ in 0..n {
            let mut generator = Gn::<usize>::new_scoped_local(|mut scope| {
                black_box(scope.get_yield());
                0usize
            });
            black_box(generator.raw_send(Some(black_box(0))));
        }
    })
}

type Fib = Fiber<'static, usize, usize, ()>;

fn fiber() -> Fib {
    Fiber::new(
        FiberStack::new(STACK, false).unwrap(),
        |mut value, suspend: &mut Suspend<_, _, _>| {
            loop {
                value = suspend.suspend(value);
            }
        },
    )
    .unwrap()
}

pub fn wasmtime() -> Run {
    let fiber = Forever(ManuallyDrop::new(fiber()));
    Box::new(move |n| {
        let fiber = &fiber;
        for _ in 0..n {
            let _ = black_box(fiber.0.resume(black_box(0)));
        }
    })
}

/// On a stack that is kept from one to the next.
pub fn wasmtime_create() -> Run {
    let mut kept = Some(FiberStack::new(STACK, false).unwrap());
    Box::new(move |n| {
        for _ in 0..n {
            let fiber =
                Fiber::<usize, (), usize>::new(kept.take().unwrap(), |value, _| value).unwrap();
            let _ = black_box(fiber.resume(black_box(0)));
            kept = Some(fiber.into_stack());
        }
    })
}

extern "C" fn forward(mut transfer: Transfer) -> ! {
    loop {
        // SAFETY: the other side is suspended in its own resume.
        transfer = unsafe { transfer.context.resume(transfer.data) };
    }
}

pub fn boost() -> Run {
    let stack = ProtectedFixedSizeStack::new(STACK).unwrap();
    // SAFETY: the stack outlives the context; `forward` never returns.
    let mut at = Some(unsafe { Context::new(&stack, forward) });
    Box::new(move |n| {
        let _stack = &stack;
        let mut context = at.take().unwrap();
        for _ in 0..n {
            // SAFETY: the context is suspended.
            let transfer = unsafe { context.resume(black_box(0)) };
            black_box(transfer.data);
            context = transfer.context;
        }
        at = Some(context);
    })
}

/// Makes suspended ones, one a call, until it cannot: for counting how many there can be.
pub fn hoarder(peer: &str) -> Option<Box<dyn FnMut() -> bool>> {
    Some(match peer {
        "corosensei" => {
            let mut all = Vec::new();
            Box::new(move || {
                let Ok(stack) = DefaultStack::new(STACK) else { return false };
                let mut coroutine =
                    Coroutine::<usize, usize, (), _>::with_stack(stack, |yielder, mut input| {
                        loop {
                            input = yielder.suspend(input);
                        }
                    });
                coroutine.resume(0);
                all.push(ManuallyDrop::new(coroutine));
                true
            })
        }
        "generator" => {
            let mut all = Vec::new();
            Box::new(move || {
                let mut generator = gn();
                generator.resume();
                all.push(ManuallyDrop::new(generator));
                true
            })
        }
        "wasmtime-fiber" => {
            let mut all = Vec::new();
            Box::new(move || {
                let Ok(stack) = FiberStack::new(STACK, false) else { return false };
                let made = Fiber::<usize, usize, ()>::new(
                    stack,
                    |mut value, suspend: &mut Suspend<_, _, _>| {
                        loop {
                            value = suspend.suspend(value);
                        }
                    },
                );
                let Ok(fiber) = made else { return false };
                let _ = fiber.resume(0);
                all.push(ManuallyDrop::new(fiber));
                true
            })
        }
        "context" => {
            let mut all = Vec::new();
            Box::new(move || {
                let Ok(stack) = ProtectedFixedSizeStack::new(STACK) else { return false };
                // SAFETY: the stack is kept for ever.
                let transfer = unsafe { Context::new(&stack, forward).resume(0) };
                all.push(ManuallyDrop::new((stack, transfer)));
                true
            })
        }
        _ => return None,
    })
}
