//! Where memory comes from: jemalloc, as in the sidecar, because after a burst it gives back what the system's allocator
//! keeps.

use std::io;
use std::ptr;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Read before `main`. No thread of jemalloc's own: this is also the program of each keeper, and that has one thread.
#[expect(unsafe_code, reason = "jemalloc looks its settings up by this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; 99] =
    b"background_thread:false,narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_nslots_small_min:128\0";

/// From here on threads of jemalloc's own give back what has been free for a second, also while this program does nothing.
/// Without them that waits for the next who takes or frees something.
///
/// # Errors
/// If no thread can be started.
pub(crate) fn give_back_while_idle() -> io::Result<()> {
    let on = true;
    #[expect(unsafe_code, reason = "jemalloc's switches have no other way in")]
    // SAFETY: jemalloc copies one `bool`, which is what this switch is, from where `on` lives, and writes nothing back.
    let status = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"background_thread".as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::from_ref(&on).cast_mut().cast(),
            size_of::<bool>(),
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
}
