//! The life of a running demo: it starts, serves requests, reports deaths, and
//! stops everything it started.

use super::args::Start;
use super::control::{self, Action, Asked, Reply, Request};
use super::prepare::{Prepared, prepare};
use super::processes::{Condition, Death, Processes};
use super::screen::{self, Progress};
use super::state::{self, FACADE};
use super::{start, tour};
use crate::exit::Exit;
use anyhow::{Context, bail};
use doug_streams::errln;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The facade starts again this long after it ended unasked, and each time twice as long
/// after, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Starts a demo and runs it until it is told to stop, or the tour has ended.
pub async fn run(args: Start) -> anyhow::Result<Exit> {
    let mut stop = Stop::new()?;
    let mut prepared = prepare(&args).await?;
    let mut processes = Processes::new()?;
    let (handle, requests) = control::queue();
    let server = control::Server::start(&prepared.state.control, handle.clone())?;
    prepared.state.pid = Some(std::process::id());
    state::point_to(&prepared.layout)?;

    let progress = Progress::start();
    let started = tokio::select! {
        started = start::start(&mut prepared, &mut processes, &progress) => started.map(|()| true),
        () = stop.asked() => Ok(false),
    };
    let took = progress.elapsed();
    drop(progress);
    let outcome = match started {
        Err(error) => Err(error),
        Ok(false) => Ok(Exit::Done),
        Ok(true) => {
            screen::ready(&prepared.state, prepared.layout.root(), took);
            let tour = args.tour.then(|| tour::play(prepared.state.clone(), handle));
            serve(&mut prepared, &mut processes, requests, &mut stop, tour).await
        }
    };
    let stopped = wind_up(&mut prepared, &mut processes, &mut stop).await;
    drop(server);
    state::point_away(&prepared.layout);
    stopped.and(outcome)
}

async fn serve(
    prepared: &mut Prepared,
    processes: &mut Processes,
    mut requests: mpsc::Receiver<Asked>,
    stop: &mut Stop,
    tour: Option<impl Future<Output = anyhow::Result<Exit>> + Send + 'static>,
) -> anyhow::Result<Exit> {
    let touring = tour.is_some();
    // A task of its own: it asks this loop to kill and restart.
    let mut tour = tokio::spawn(async move {
        match tour {
            Some(tour) => tour.await,
            None => std::future::pending().await,
        }
    });
    let mut facade = Supervised::default();
    loop {
        let mut answered = None;
        tokio::select! {
            () = stop.asked() => return Ok(Exit::Done),
            outcome = &mut tour, if touring => return outcome?,
            death = processes.next_death() => if death.name == FACADE { facade.died(&death) } else { report(&death) },
            () = facade.is_due() => facade.start(processes).await,
            Some(Asked { request, reply }) = requests.recv() => {
                let result = act(&request, prepared, processes).await;
                let answer = match result {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Failed(format!("{error:#}")),
                };
                answered = Some((reply, answer));
            }
        }
        start::note(&mut prepared.state, processes);
        // A full disk ends no database: this file is what `doug demo status` shows.
        if let Err(error) = prepared.state.save(&prepared.layout) {
            errln!("doug: {error:#}");
        }
        // Whoever is told that something is done finds it in the status.
        if let Some((reply, answer)) = answered {
            let _ = reply.send(answer);
        }
    }
}

/// The facade is all there is between clients and the nodes, so one that ended unasked
/// starts again. A node does not: how the others go on without it is there to be seen.
#[derive(Default)]
struct Supervised {
    due: Option<Instant>,
    pause: Duration,
    started: Option<Instant>,
}

impl Supervised {
    fn died(&mut self, death: &Death) {
        let now = Instant::now();
        let lasted = self.started.is_none_or(|started| now - started > LONGEST_PAUSE);
        self.pause = if lasted { PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.due = Some(now + self.pause);
        let Death { name, how, last_lines } = death;
        errln!(
            "\n{name} ended unasked ({how}). The last lines of its log:\n{last_lines}\n\
             It starts again in {:?}.\n",
            self.pause
        );
    }

    async fn is_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    async fn start(&mut self, processes: &mut Processes) {
        (self.due, self.started) = (None, Some(Instant::now()));
        // Somebody may have killed or started it meanwhile: that is as it was wanted.
        if !matches!(processes.look(FACADE).1, Condition::Died(_)) {
            return;
        }
        match processes.restart(&[FACADE.to_owned()]).await {
            Ok(()) => errln!("{FACADE} was started again"),
            Err(error) => {
                errln!("doug: {error:#}");
                self.due = Some(Instant::now() + LONGEST_PAUSE);
            }
        }
    }
}

async fn act(
    request: &Request,
    prepared: &mut Prepared,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    let state = &prepared.state;
    let names = &request.names;
    let exists = |name: &String| name == FACADE || state.node(name).is_some();
    if let Some(unknown) = names.iter().find(|name| !exists(name)) {
        let all: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
        bail!("there is no {unknown}: there are {} and facade", all.join(", "));
    }
    match request.action {
        Action::Kill => processes.kill(names).await,
        Action::Pause => processes.pause(names).await,
        Action::Resume => processes.resume(names).await,
        Action::Restart => processes.restart(names).await,
        Action::Wipe => wipe(names, prepared, processes).await,
    }
}

/// Loses the volumes of nodes. They start again empty, under new ids, and whatever
/// they held is to be rebuilt on them, or on others.
async fn wipe(
    names: &[String],
    prepared: &mut Prepared,
    processes: &mut Processes,
) -> anyhow::Result<()> {
    if names.iter().any(|name| name == FACADE) {
        bail!("the facade has no volume: name nodes");
    }
    processes.kill(names).await?;
    for name in names {
        if let Some(creation) = &mut prepared.state.creation {
            creation.nodes.remove(name);
        }
        // Before the volume goes: the next start must not take the new one for a mistake.
        prepared.state.save(&prepared.layout)?;
        let data = prepared.layout.node(name);
        std::fs::remove_dir_all(&data).with_context(|| format!("deleting {}", data.display()))?;
    }
    processes.restart(names).await
}

fn report(death: &Death) {
    let Death { name, how, last_lines } = death;
    errln!(
        "\n{name} ended unasked ({how}). The last lines of its log:\n{last_lines}\n\
         Start it again with `{} demo restart {name}`.\n",
        screen::program()
    );
}

/// Stops the facade, so that no request is cut off by its node, then the nodes.
/// A second Ctrl-C ends everything at once.
async fn wind_up(
    prepared: &mut Prepared,
    processes: &mut Processes,
    stop: &mut Stop,
) -> anyhow::Result<()> {
    let Prepared { state, layout, .. } = prepared;
    let facade = [FACADE.to_owned()];
    let nodes: Vec<String> = state.nodes.iter().map(|node| node.name.clone()).collect();
    errln!("Stopping {} nodes and the facade", nodes.len());
    let orderly = async {
        processes.stop(&facade).await?;
        processes.stop(&nodes).await
    };
    tokio::select! {
        result = orderly => result?,
        () = stop.asked() => {
            processes.kill(&facade).await?;
            processes.kill(&nodes).await?;
        }
    }
    start::note(state, processes);
    (state.pid, state.ready) = (None, false);
    state.save(layout)?;
    if let Some(folder) = prepared.temporary.take() {
        folder.close()?;
    }
    Ok(())
}

/// Whatever asks a demo to stop.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
