//! The allocator of every program.
//!
//! The system's own one gives large buffers back to the kernel at once and takes them again page by page, which lists and
//! catching up spend a third of their time on; see the README, "How fast it is".

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
