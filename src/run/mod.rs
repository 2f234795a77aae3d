//! Work on files that may be large, many, shared by processes, and interrupted: what an output was made from
//! and whether it is finished, partitions, locks and markers of a run over many files, shards, signals,
//! faults of the program. Knows nothing of what is computed.
//!
//! A run over partitions is what `fit` works on and `finalize` completes: which partitions there are, what is
//! done, and who is at work on what. A process owns nothing but the partition that it has locked; everything
//! else is read from the output folder, so that any number of processes on any number of machines can share a
//! run, and any of them can be killed.
//!
//! | in the output folder | |
//! |---|---|
//! | the partitions' catalogues | one per input, with the relative path of the input |
//! | `.photosphere/run.json` | the settings and all partitions ([`Manifest`]) |
//! | `.photosphere/done/` | a [`Marker`] per finished partition |
//! | `.photosphere/locks/` | a [`Lock`] per partition that is being worked on, or whose process ended with it |
//! | `.photosphere/files/` | what is known of finished files that are no partitions |

pub mod clock;
pub mod crash;
mod existing;
mod folder;
pub mod hats;
pub mod identifiers;
pub mod inputs;
pub mod interrupt;
mod lock;
mod manifest;
mod marker;
mod partition;
pub mod provenance;
pub mod shard;
pub mod tally;
mod walk;

pub use existing::{Existing, Standing, record, record_fit, recorded_residuals, require_same_run};
pub use folder::{RunFolder, make_folder_of, replace};
pub use lock::{Attempt, Holder, Lock};
pub use manifest::{Manifest, is_gone, read_json};
pub use marker::{FileState, Marker};
pub use partition::{Partition, Survey, expand};
pub use walk::{Finished, Step, Walk};
