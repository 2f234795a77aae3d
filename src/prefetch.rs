//! Iterators that a thread of their own runs ahead of the consumer.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// The items of an iterator that runs in its own thread: while the consumer works on one item, the next is
/// made. Order is kept.
#[derive(Debug)]
pub struct Prefetched<T> {
    /// `None` once the consumer has gone, so that the thread ends at its next item.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

/// Runs `items` in a thread of its own, at most `ahead` finished items (and the one in the making) before the
/// consumer. With a pool of one thread (`--threads 1`) the items are made by the consumer's thread instead,
/// as it asks for them.
///
/// Errors are items like others. Dropping the result ends the thread after the item that it is making, and
/// waits for that.
///
/// # Panics
/// When making an item does: the panic goes on in the consumer's thread.
pub fn prefetch<T: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
    ahead: usize,
) -> Box<dyn Iterator<Item = T> + Send> {
    if rayon::current_num_threads() == 1 {
        return Box::new(items);
    }
    Box::new(Prefetched::new(items, ahead))
}

impl<T: Send + 'static> Prefetched<T> {
    fn new(items: impl Iterator<Item = T> + Send + 'static, ahead: usize) -> Self {
        let (sender, receiver) = sync_channel(ahead);
        let thread = std::thread::spawn(move || {
            for item in items {
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        Self { receiver: Some(receiver), thread: Some(thread) }
    }
}

impl<T> Iterator for Prefetched<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let item = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok());
        if item.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        item
    }
}

impl<T> Drop for Prefetched<T> {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic of an item that nobody asked for any more concerns nobody.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn order_is_kept_and_the_lead_is_bounded() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let items = (0..100).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        for (taken, item) in Prefetched::new(items, 2).enumerate() {
            assert_eq!(item, taken);
            // One taken, two waiting, one in the making.
            assert!(made.load(Ordering::SeqCst) <= taken + 4);
        }
        assert_eq!(made.load(Ordering::SeqCst), 100);
    }

    #[test]
    fn dropping_it_early_ends_the_thread() {
        let alive = Arc::new(());
        let guard = alive.clone();
        let mut items = Prefetched::new((0..).map(move |i| (i, guard.clone()).0), 1);
        assert_eq!(items.next(), Some(0));
        drop(items);
        assert_eq!(Arc::strong_count(&alive), 1, "the thread and its iterator are gone");
    }

    #[test]
    fn panics_reach_the_consumer() {
        let mut items = Prefetched::new((0..3).map(|i| if i == 1 { panic!("item {i}") } else { i }), 1);
        assert_eq!(items.next(), Some(0));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("item 1"));
    }
}
