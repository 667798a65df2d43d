use super::*;

/// One DougCluster, and operators that look at it in turn.
struct World {
    start: Instant,
    second: u64,
    found: Option<Caretaker>,
}

/// An operator that looks at it.
struct Operator {
    name: &'static str,
    seen: Seen,
}

fn operator(name: &'static str) -> Operator {
    Operator { name, seen: Seen::default() }
}

impl World {
    fn new() -> Self {
        Self { start: Instant::now(), second: 0, found: None }
    }

    fn pass(&mut self, time: Duration) {
        self.second += time.as_secs();
    }

    /// An operator looks until it need not write any more; what it does then.
    fn look(&mut self, operator: &mut Operator) -> Standing {
        for _ in 0..3 {
            let now = self.start + Duration::from_secs(self.second);
            let found = self.found.clone();
            let time = self.second.to_string();
            match standing(operator.name, found.as_ref(), &mut operator.seen, now, &time) {
                Standing::Write(caretaker) => self.found = Some(caretaker),
                standing => return standing,
            }
        }
        panic!("{} writes without an end", operator.name)
    }

    fn degraded(&self) -> Option<String> {
        contested(self.found.as_ref()).map(|finding| finding.message)
    }
}

#[test]
fn the_first_one_looks_after_it_and_goes_on_after_a_restart() {
    let mut world = World::new();
    assert_eq!(world.look(&mut operator("north/dougdb")), Standing::Ours);
    assert_eq!(world.look(&mut operator("north/dougdb")), Standing::Ours, "one more of the same");
    assert_eq!(world.degraded(), None);
}

#[test]
fn a_second_one_stands_back_for_as_long_as_the_first_answers() {
    let mut world = World::new();
    let (mut first, mut second) = (operator("north/dougdb"), operator("south/dougdb"));
    world.look(&mut first);
    for _ in 0..20 {
        let Standing::Theirs(pause) = world.look(&mut second) else { panic!("two would fight") };
        assert_eq!(world.look(&mut first), Standing::Ours);
        let said = world.degraded().expect("a person is called");
        assert!(said.contains("north/dougdb does, and south/dougdb stands back"), "{said}");
        world.pass(pause);
    }
}

#[test]
fn one_that_is_restarted_while_it_stands_back_waits_as_long_as_ever() {
    let mut world = World::new();
    world.look(&mut operator("north/dougdb"));
    world.look(&mut operator("south/dougdb"));
    world.pass(PATIENCE);
    let mut restarted = operator("south/dougdb");
    assert_eq!(world.look(&mut restarted), Standing::Theirs(ASK_AGAIN));
    world.pass(PATIENCE - Duration::from_secs(1));
    assert_eq!(world.look(&mut restarted), Standing::Theirs(Duration::from_secs(1)));
}

#[test]
fn whoever_does_not_answer_in_time_is_gone() {
    let mut world = World::new();
    let (mut first, mut second) = (operator("north/dougdb"), operator("south/dougdb"));
    world.look(&mut first);
    assert_eq!(world.look(&mut second), Standing::Theirs(ASK_AGAIN));
    world.pass(PATIENCE - Duration::from_secs(1));
    assert_eq!(world.look(&mut second), Standing::Theirs(Duration::from_secs(1)));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.look(&mut second), Standing::Ours);
    assert_eq!(world.degraded(), None);

    let Standing::Theirs(_) = world.look(&mut first) else { panic!("it comes back too late") };
    assert_eq!(world.look(&mut second), Standing::Ours);
    assert!(world.degraded().is_some());
}

#[test]
fn once_the_second_one_is_uninstalled_nobody_is_called_any_more() {
    let mut world = World::new();
    let (mut first, mut second) = (operator("north/dougdb"), operator("south/dougdb"));
    world.look(&mut first);
    world.look(&mut second);
    world.look(&mut first);
    assert!(world.degraded().is_some());
    world.pass(GONE);
    assert_eq!(world.look(&mut first), Standing::Ours);
    assert_eq!(world.degraded(), None);
}

#[test]
fn a_third_one_stands_back_as_well() {
    let mut world = World::new();
    let (mut first, mut second) = (operator("north/dougdb"), operator("south/dougdb"));
    let mut third = operator("west/dougdb");
    world.look(&mut first);
    for _ in 0..20 {
        for other in [&mut second, &mut third] {
            assert!(matches!(world.look(other), Standing::Theirs(_)), "three would fight");
            assert_eq!(world.look(&mut first), Standing::Ours);
        }
        world.pass(ASK_AGAIN);
    }
}
