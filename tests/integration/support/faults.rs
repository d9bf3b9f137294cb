//! Tables of faults, each one tried by itself and a few side by side.

use super::proxy::Rule;

/// What must come of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It is outlasted.
    Works,
    /// It fails, and says this.
    Fails(&'static str),
}

/// One line of a table.
pub struct Case {
    pub name: &'static str,
    pub rules: Vec<Rule>,
    pub then: Then,
}

/// A fault that is outlasted.
pub fn works(name: &'static str, rules: impl Into<Vec<Rule>>) -> Case {
    Case { name, rules: rules.into(), then: Then::Works }
}

/// A fault that is not.
pub fn fails(name: &'static str, rules: impl Into<Vec<Rule>>, message: &'static str) -> Case {
    Case { name, rules: rules.into(), then: Then::Fails(message) }
}

/// Tries all, most of the time waiting: a few at once. Every failure is told, not only the first.
pub fn try_all(cases: Vec<Case>, one: impl Fn(usize, &Case) + Sync) {
    let numbered = cases.iter().enumerate().map(|(number, case)| (case.name, (number, case))).collect();
    try_all_named(numbered, |(number, case)| one(*number, case));
}

/// The same for lines of any other table, with their names.
pub fn try_all_named<T: Sync>(cases: Vec<(&'static str, T)>, one: impl Fn(&T) + Sync) {
    const AT_ONCE: usize = 6;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, case)) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let tried = std::panic::AssertUnwindSafe(|| one(case));
                    if std::panic::catch_unwind(tried).is_err() {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    assert!(failed.lock().unwrap().is_empty(), "{:?}", failed.lock().unwrap());
}
