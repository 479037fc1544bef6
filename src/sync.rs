//! Named points at which tests take control of a schedule.
//!
//! A race is an interleaving of a few steps; a test that stops one operation at a point and runs another there checks that
//! interleaving every time, without sleeping. Outside the crate's own tests a point is nothing.

/// Marks a step of the purge protocol. In tests, runs what the current thread has set with [`at`].
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point(_name: &'static str) {}

#[cfg(test)]
pub(crate) use under_test::{at, point};

#[cfg(test)]
mod under_test {
    use std::cell::RefCell;

    type Hook = (&'static str, Box<dyn FnOnce()>);

    thread_local! {
        static HOOKS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `hook` once, the next time this thread passes the point `name`.
    pub(crate) fn at(name: &'static str, hook: impl FnOnce() + 'static) {
        HOOKS.with(|hooks| hooks.borrow_mut().push((name, Box::new(hook))));
    }

    pub(crate) fn point(name: &'static str) {
        let hook = HOOKS.with(|hooks| {
            let mut hooks = hooks.borrow_mut();
            hooks.iter().position(|(at, _)| *at == name).map(|found| hooks.remove(found).1)
        });
        if let Some(hook) = hook {
            hook();
        }
    }
}
