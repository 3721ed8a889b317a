//! Where memory comes from, for every program that links this crate.
//!
//! A node allocates for each request and for each message, and gives buffers of a quarter of a megabyte back all the time. The
//! system's allocator hands those back to the kernel and takes them anew, page fault by page fault; mimalloc keeps them. `demo
//! bench` of both in turns: lists of 100,000 entries a fifth faster; an append costs the master a tenth less processor time
//! where the machine is busy, and the same where it is not; a secondary needs 14 bytes more memory for an entry.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Asks the kernel for no huge pages from now on, where it has them. A log grows by small batches, and to clear two megabytes
/// for each few of them doubles the time in which a secondary catches up.
pub fn avoid_huge_pages() {
    #[cfg(target_os = "linux")]
    {
        // A kernel that knows no huge pages refuses, and is right.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
}
