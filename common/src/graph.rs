//! The dependency engine: from the metadata of packages to a build order.
//!
//! [`Packages`] resolves dependencies by names, versioned provisions, sonames and groups; [`plan()`] orders the build
//! list by strongly connected components; [`closure()`] finds what cannot be built without blacklisted packages;
//! [`Relations`] and [`Closures`] say what a change reaches. All of it is pure, and the same for the same packages in whatever
//! sequence they are given.

mod arrange;
mod blacklist;
mod breaking;
mod components;
mod critical;
mod dropped;
mod feedback;
mod kinds;
mod named;
mod needs;
mod packages;
mod plan;
mod reach;
mod resolution;
mod sequence;
mod walk;

pub use blacklist::{Exclusion, Exclusions, closure};
pub use components::Components;
pub use critical::BuildTimes;
pub use dropped::{Dropped, Reason};
pub use feedback::{Feedback, smallest_break};
pub use kinds::Kinds;
pub use named::Named;
pub use needs::{Need, Needs};
pub use packages::Packages;
pub use plan::{Checks, Plan, Policy, plan};
pub use reach::Closures;
pub use resolution::{Choice, How};
pub use walk::{Names, Reached, Relations, Scope, Step, steps_along, walk};
