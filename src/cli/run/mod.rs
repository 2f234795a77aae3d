//! A run over partitions, which `fit` works on and `finalize` completes: which partitions there are, what is done, and who is at
//! work on what. A process owns nothing but the partition that it has locked; everything else is read from the output folder, so
//! that any number of processes on any number of machines can share a run, and any of them can be killed.
//!
//! | in the output folder | |
//! |---|---|
//! | the partitions' catalogues | one per input, with the relative path of the input |
//! | `.photosphere/run.json` | the settings and all partitions ([`Manifest`]) |
//! | `.photosphere/done/` | a [`Marker`] per finished partition |
//! | `.photosphere/locks/` | a [`Lock`] per partition that is being worked on, or whose process ended with it |
//! | `.photosphere/files/` | what is known of finished files that are no partitions |

mod folder;
pub mod hats;
mod lock;
mod manifest;
mod marker;
mod partition;

pub use folder::{RunFolder, make_folder_of, replace};
pub use lock::{Attempt, Holder, Lock};
pub use manifest::{Manifest, read_json};
pub use marker::{FileState, Marker};
pub use partition::{Partition, Survey, expand};
