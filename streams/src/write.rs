//! Writing to a file descriptor that may be anything.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// Writes all of `bytes`; the error comes with how many were written before it.
///
/// Waits where the descriptor is in non-blocking mode and full: another program may
/// have set that on a pipe or terminal that it shares with this one.
pub fn all(to: &impl AsFd, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(to, &bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => until_writable(to).map_err(|error| (written, error))?,
            Err(error) => return Err((written, error.into())),
        }
    }
    Ok(())
}

fn until_writable(to: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
