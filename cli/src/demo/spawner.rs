//! The one thread that starts processes.

use std::io;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts processes from a thread that lives as long as this value: Linux ends
/// a process that asked to die with its parent when the *thread* that started
/// it ends, and tokio's threads may end at any time.
#[derive(Debug)]
pub struct Spawner {
    orders: mpsc::SyncSender<Order>,
}

struct Order {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. To be called inside the runtime.
    pub fn new() -> io::Result<Self> {
        let (orders, ordered) = mpsc::sync_channel::<Order>(16);
        let runtime = Handle::current();
        let work = move || {
            let _inside = runtime.enter();
            for mut order in ordered {
                let _ = order.reply.send(order.command.spawn());
            }
        };
        std::thread::Builder::new().name("doug-demo-spawn".into()).spawn(work)?;
        Ok(Self { orders })
    }

    /// Starts one process.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.try_send(Order { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
