//! Requests to the running demo: one line of JSON each way over a Unix socket.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Longest line, in bytes.
const LINE: u64 = 64 << 10;
/// Connections served at once.
const CONNECTIONS: usize = 8;
/// How long a request may take: a restart waits five seconds for a clean stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be asked of a running demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// Stop, then start.
    Restart,
    /// SIGKILL, delete the volume, start.
    Wipe,
}

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    pub action: Action,
    /// To which processes.
    pub names: Vec<String>,
}

/// One answer: done, or what is wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// It is done.
    Done,
    /// It is not, because of this.
    Failed(String),
}

/// A request on its way to the demo.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// How requests reach the demo from inside its own process.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Asked>);

/// A bounded queue of requests.
pub fn queue() -> (Handle, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(16);
    (Handle(sender), receiver)
}

impl Handle {
    /// Asks and waits for the answer.
    pub async fn ask(&self, action: Action, names: Vec<String>) -> anyhow::Result<()> {
        match self.pass_on(Request { action, names }).await {
            Reply::Done => Ok(()),
            Reply::Failed(why) => bail!(why),
        }
    }

    async fn pass_on(&self, request: Request) -> Reply {
        let (reply, answer) = oneshot::channel();
        let stopping = || Reply::Failed("the demo is stopping".into());
        if self.0.send(Asked { request, reply }).await.is_err() {
            return stopping();
        }
        answer.await.unwrap_or_else(|_| stopping())
    }
}

/// Serves the socket until the value is dropped.
#[derive(Debug)]
pub struct Server {
    task: tokio::task::JoinHandle<()>,
    path: std::path::PathBuf,
}

impl Server {
    /// Listens at `path`, for this user only.
    pub fn start(path: &Path, handle: Handle) -> anyhow::Result<Self> {
        // Left by a demo that was killed; the lock says that it no longer runs.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path);
        let listener = listener.with_context(|| format!("listening at {}", path.display()))?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let task = tokio::spawn(serve(listener, handle));
        Ok(Self { task, path: path.to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, handle: Handle) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = free.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let handle = handle.clone();
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, handle)).await;
            drop(permit);
        });
    }
}

async fn answer(stream: UnixStream, handle: Handle) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let reply = match serde_json::from_str(&line(read).await?) {
        Ok(request) => handle.pass_on(request).await,
        Err(error) => Reply::Failed(format!("the request is not understood: {error}")),
    };
    write.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes()).await?;
    Ok(())
}

async fn line(read: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(read.take(LINE)).read_line(&mut line).await?;
    Ok(line)
}

/// Asks the demo that listens at `path`.
///
/// # Errors
/// What the demo answers, or that none does.
pub async fn ask(path: &Path, request: &Request) -> anyhow::Result<()> {
    let talk = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?;
        anyhow::Ok(serde_json::from_str(&line(stream).await?)?)
    };
    let reply = timeout(PATIENCE, talk).await.context("the demo does not answer")?;
    match reply.with_context(|| format!("asking the demo at {}", path.display()))? {
        Reply::Done => Ok(()),
        Reply::Failed(why) => bail!(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_the_demo_and_its_answer_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (handle, mut asked) = queue();
        let _server = Server::start(&path, handle).unwrap();
        tokio::spawn(async move {
            while let Some(Asked { request, reply }) = asked.recv().await {
                let why = format!("{:?} of {:?} is not to be", request.action, request.names);
                reply.send(Reply::Failed(why)).unwrap();
            }
        });
        let request = Request { action: Action::Kill, names: vec!["a-0".into()] };
        let error = ask(&path, &request).await.unwrap_err();
        assert_eq!(error.to_string(), r#"Kill of ["a-0"] is not to be"#);
    }

    #[tokio::test]
    async fn a_line_that_is_no_request_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (handle, _asked) = queue();
        let _server = Server::start(&path, handle).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"hello\n").await.unwrap();
        let reply = line(stream).await.unwrap();
        assert!(reply.contains("not understood"), "{reply}");
    }
}
