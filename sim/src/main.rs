//! `doug-sim`: runs seeds, prints what they covered, replays one that failed.

use clap::Parser;
use doug_sim::Tracing;
use doug_sim::campaign::{Totals, Until, run_seeds};
use doug_sim::coverage::Coverage;
use doug_sim::crash_points::CRASH_POINTS;
use doug_sim::hunting::hunt;
use doug_sim::mutants::Mutant;
use doug_sim::plan::{FaultKind, Plan};
use doug_sim::run::{Report, quiet_panics, run, shrink};
use doug_sim::stopwatch::Stopwatch;
use doug_sim::story::story;
use doug_sim::time::seconds;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs simulated DougDB clusters from seeds, and checks every promise.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Run this one seed and print its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// Run seeds until this many did enough to count: a thousand writes, a flush, a compaction
    /// and a recycled segment.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// Run seeds of ten simulated minutes for so many hours.
    #[arg(long)]
    hours: Option<f64>,
    /// Seeds run at once; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// For how many simulated seconds clients and faults go on.
    #[arg(long)]
    seconds: Option<u64>,
    /// Print one line for each seed.
    #[arg(long)]
    each: bool,
    /// Leave faults out of a failing seed one by one, as long as it still fails.
    #[arg(long)]
    shrink: bool,
    /// With `--seed`: print every message and answer too.
    #[arg(long)]
    everything: bool,
    /// With `--seed`: print, of everything, the lines that contain this.
    #[arg(long)]
    only: Option<String>,
    /// Put each known bug in and count the seeds until it is found; `--seeds` is the most tried.
    #[arg(long)]
    mutants: bool,
    /// With `--mutants`: only the bugs whose names contain one of these.
    #[arg(long)]
    bug: Vec<String>,
    /// Leave out the kinds of faults whose names contain one of these.
    #[arg(long)]
    without: Vec<String>,
}

/// Simulated seconds of a seed that runs through the night.
const LONG: u64 = 600;

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed);
        let long = self.hours.map(|_| LONG);
        if let Some(length) = self.seconds.or(long) {
            plan.last(seconds(length));
        }
        plan.faults.retain(|kind, _| !self.without.iter().any(|name| kind.name().contains(name)));
        plan
    }

    /// Part of a name that no bug, or no kind of fault, has; and the names that there are.
    fn unknown(&self) -> Option<(&str, Vec<String>)> {
        let bugs: Vec<_> = Mutant::ALL.iter().map(|bug| format!("{bug:?}")).collect();
        let faults: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
        [(&self.bug, bugs), (&self.without, faults)].into_iter().find_map(|(parts, names)| {
            let fits = |part: &&String| names.iter().any(|name| name.contains(part.as_str()));
            let unknown = parts.iter().find(|part| !fits(part))?;
            Some((unknown.as_str(), names))
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some((part, names)) = options.unknown() {
        doug_streams::errln!("nothing is called like {part:?}: there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    quiet_panics();
    match options.seed {
        _ if options.mutants => mutants(&options),
        Some(seed) => one(&options, seed),
        None => many(&options),
    }
}

fn one(options: &Options, seed: u64) -> ExitCode {
    let mut plan = options.plan(seed);
    if options.shrink
        && let Some(violation) = run(plan.clone(), Tracing::Off).violation
    {
        plan = shrink(&plan, violation.checker);
    }
    doug_streams::outln!("{plan:#?}");
    let tracing = match &options.only {
        Some(part) => Tracing::Only(part.clone()),
        None if options.everything => Tracing::Everything,
        None => Tracing::Story,
    };
    let report = run(plan.clone(), tracing);
    print_coverage(&report.coverage);
    doug_streams::outln!("trace {:016x}, {} events", report.hash, report.events);
    match story(&plan, &report) {
        Some(story) => {
            doug_streams::outln!("\n{story}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(options: &Options) -> ExitCode {
    let until = match options.hours {
        Some(hours) => Until::Elapsed(hours * 3_600.0),
        None => Until::Counted(options.seeds),
    };
    let threads = options.threads.unwrap_or_else(cores);
    let clock = Stopwatch::start();
    let totals = run_seeds(
        options.start,
        until,
        threads,
        |seed| options.plan(seed),
        |report| {
            if options.each {
                print_line(report);
            }
            tell(options, report);
        },
    );
    print_coverage(&totals.coverage);
    print_totals(&totals, clock);
    if totals.failed.is_empty() && is_enough(&totals, until) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether as many seeds counted as were asked for, and, of many, they crashed everywhere.
fn is_enough(totals: &Totals, until: Until) -> bool {
    let Until::Counted(count) = until else { return true };
    let missed = missed_points(&totals.coverage);
    if count >= MANY && !missed.is_empty() {
        doug_streams::outln!("nobody crashed at {missed:?}");
        return false;
    }
    totals.counted >= count
}

/// So many seeds must crash at every crash point.
const MANY: u64 = 500;

fn missed_points(coverage: &Coverage) -> Vec<&'static str> {
    let missed = |point: &&str| coverage.get(&format!("crash point: {point}")) == 0;
    CRASH_POINTS.iter().copied().filter(missed).collect()
}

fn print_totals(totals: &Totals, clock: Stopwatch) {
    doug_streams::outln!(
        "{} seeds, {} of them did enough to count, {} ran twice alike: {:.0} simulated seconds in \
         {:.0} s; \
         a core simulates {:.0} s of five nodes a second",
        totals.seeds,
        totals.counted,
        totals.twice,
        totals.seconds(),
        clock.seconds(),
        totals.speed()
    );
    let hit = CRASH_POINTS.len() - missed_points(&totals.coverage).len();
    let faults = totals.coverage.iter().filter(|(name, _)| name.starts_with("fault: "));
    doug_streams::outln!(
        "{} faults; crashed at {hit} of {} crash points; {} failed {:?}",
        faults.map(|(_, count)| count).sum::<u64>(),
        CRASH_POINTS.len(),
        totals.failed.len(),
        totals.failed
    );
}

/// The table of bugs and the seeds needed to find them.
fn mutants(options: &Options) -> ExitCode {
    let wanted = |mutant: &&Mutant| {
        let name = format!("{mutant:?}");
        options.bug.is_empty() || options.bug.iter().any(|part| name.contains(part.as_str()))
    };
    let bugs: Vec<Mutant> = Mutant::ALL.iter().filter(wanted).copied().collect();
    let next = AtomicUsize::new(0);
    let missed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.threads.unwrap_or_else(cores) {
            scope.spawn(|| {
                while let Some(mutant) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match find(options, *mutant) {
                        Some((seeds, checker)) => {
                            doug_streams::outln!("{mutant:?}: {seeds} seeds, {checker}")
                        }
                        None => {
                            missed.fetch_add(1, Ordering::Relaxed);
                            doug_streams::outln!(
                                "{mutant:?}: not found in {} seeds",
                                options.seeds
                            );
                        }
                    }
                }
            });
        }
    });
    doug_streams::outln!("{} bugs, {} not found", bugs.len(), missed.load(Ordering::Relaxed));
    ExitCode::from(u8::from(missed.into_inner() > 0))
}

/// After how many seeds a bug is found, and by which checker.
fn find(options: &Options, mutant: Mutant) -> Option<(u64, &'static str)> {
    let mut seeds = options.start..options.start + options.seeds;
    seeds.find_map(|seed| {
        let violation = run(hunt(mutant, options.plan(seed)), Tracing::Off).violation?;
        Some((seed + 1 - options.start, violation.checker))
    })
}

fn print_line(report: &Report) {
    let verdict = report.violation.as_ref().map_or("good", |violation| violation.checker);
    let writes = report.coverage.get("write acknowledged");
    doug_streams::outln!(
        "seed {:>5}  {:016x}  {writes:>6} writes  {verdict}",
        report.seed,
        report.hash
    );
}

/// The story of a failing seed.
fn tell(options: &Options, report: &Report) {
    let mut plan = options.plan(report.seed);
    let Some(violation) = &report.violation else { return };
    if options.shrink {
        plan = shrink(&plan, violation.checker);
        let again = run(plan.clone(), Tracing::Off);
        doug_streams::outln!("\n{}", story(&plan, &again).unwrap_or_default());
    } else {
        doug_streams::outln!("\n{}", story(&plan, report).unwrap_or_default());
    }
}

fn print_coverage(coverage: &Coverage) {
    for (name, count) in coverage.iter() {
        doug_streams::outln!("{count:>10}  {name}");
    }
}
