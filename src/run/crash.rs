//! Faults of the program itself (panics): they become errors that say so, and end no more than the work in
//! which they happened.

use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Where the last panic of the process happened, in whatever thread.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic is noted rather than printed, for [`guarded`]; with `RUST_BACKTRACE` it is printed as
/// ever.
pub fn watch() {
    let default = std::panic::take_hook();
    let is_traced = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = panic.location().map(ToString::to_string);
        if is_traced {
            default(panic);
        }
    }));
}

/// Does `work`; a panic in it, or in a thread for which it waits, becomes an error at `place`.
///
/// # Errors
/// Those of `work`, and a panic.
pub fn guarded<T>(place: impl FnOnce() -> String, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the work has half done is dropped with it: files under temporary names and locks. The program's
    // tables are not shared.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(fault(place(), panic.as_ref())))
}

fn fault(place: String, panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let at = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take().map_or_else(String::new, |at| format!(", at {at}"));
    Error::new(ErrorKind::Internal, place)
        .found(format!("a fault of the program ({}{at})", said.unwrap_or("without a message")))
        .expected("none, whatever the input")
        .remedy(
            "Please report it, with the file if you can; RUST_BACKTRACE=1 shows more. Other files can be worked on meanwhile.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_of_any_thread_become_errors() {
        let error = guarded(|| "a.fits".into(), || -> Result<()> { panic!("index {}", 3) }).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Internal, 1));
        assert!(error.to_string().starts_with("a.fits: found a fault of the program (index 3"), "{error}");
        let in_pool = || -> Result<()> {
            use rayon::prelude::*;
            (0..100).into_par_iter().for_each(|i| assert!(i != 50, "item {i}"));
            Ok(())
        };
        assert!(guarded(|| "b".into(), in_pool).unwrap_err().to_string().contains("item 50"));
        let prefetched = || {
            let items = crate::prefetch::prefetch((0..3).map(|i| if i == 1 { panic!("item {i}") } else { i }), 1);
            Ok(items.sum::<i32>())
        };
        assert!(guarded(|| "c".into(), prefetched).unwrap_err().to_string().contains("item 1"));
        assert_eq!(guarded(|| "d".into(), || Ok(3)).unwrap(), 3);
        assert_eq!(guarded(|| "e".into(), || Err::<(), _>(Error::usage("x"))).unwrap_err().exit_code(), 2);
    }
}
