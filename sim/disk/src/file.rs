//! An open file of the simulated disk.

use std::io::{self, ErrorKind};

use doug_storage::disk::DiskFile;

use crate::SimDisk;
use crate::disk::Effect;
use crate::state::{Change, State};

pub(crate) struct SimFile {
    pub(crate) disk: SimDisk,
    pub(crate) inode: u64,
    pub(crate) epoch: u64,
    pub(crate) writable: bool,
}

impl SimFile {
    fn alive(&self, state: &State) -> io::Result<()> {
        if state.epoch == self.epoch {
            Ok(())
        } else {
            Err(io::Error::other("this file was opened before a simulated crash"))
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the file is open for reading only",
            ));
        }
        self.alive(&self.disk.lock())?;
        self.disk.change(Effect::Volatile, |state| {
            state.check_capacity(self.inode, &change)?;
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            inode.change(change);
            Ok(())
        })
    }

    /// After a failed sync the kernel takes the dirty pages for clean.
    fn forget_unsynced(&self) {
        if let Some(inode) = self.disk.lock().inodes.get_mut(&self.inode) {
            inode.unsynced.clear();
            inode.deceived = true;
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.epoch == self.epoch {
            state.descriptors -= 1;
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        self.alive(&state)?;
        let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
        inode.read(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.wait_while_held();
        self.alive(&self.disk.lock())?;
        let synced = self.disk.change(Effect::Sync, |state| {
            let inode = state.inodes.get_mut(&self.inode).expect("an open file has an inode");
            for change in std::mem::take(&mut inode.unsynced) {
                change.apply(&mut inode.durable);
            }
            state.syncs += 1;
            Ok(())
        });
        if synced.is_err() && !self.disk.lock().down {
            self.forget_unsynced();
        }
        synced
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        self.alive(&state)?;
        Ok(state.inodes[&self.inode].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len { self.change(Change::Length(len)) } else { Ok(()) }
    }
}
