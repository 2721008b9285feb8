//! What may happen in a minute.

use std::time::Duration;

use crate::support::environment::Environment;

/// Something that breaks, and heals within the minute.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&mut Environment),
    /// The bridge's process ends.
    ends_the_bridge: bool,
}

/// Nothing happens.
pub(crate) const NONE: Fault = Fault { name: "none", make: |_| (), ends_the_bridge: false };

const AWAY: Duration = Duration::from_secs(15);

const FAULTS: [Fault; 9] = [
    fault("a broker killed", |environment| environment.broker_is_killed()),
    fault("a broker hangs", |environment| environment.broker_hangs(AWAY)),
    fault("leaders moved", |environment| environment.leaders_move()),
    fault("all brokers away", |environment| environment.brokers_are_away(AWAY, |_| ())),
    fault("reloaded", |environment| environment.service.reload()),
    fault("key endpoint away", |environment| {
        environment.endpoint.go_away();
        std::thread::sleep(AWAY);
        environment.endpoint.come_back();
    }),
    ending("bridge killed", |environment| environment.bridge_is_killed()),
    ending("bridge replaced", |environment| {
        // Its exit code is 0 only if everything was confirmed, which is not required here.
        let _code = environment.bridge_is_replaced();
    }),
    ending("brokers away, bridge killed", |environment| {
        environment.brokers_are_away(AWAY, Environment::bridge_is_killed)
    }),
];

const fn fault(name: &'static str, make: fn(&mut Environment)) -> Fault {
    Fault { name, make, ends_the_bridge: false }
}

const fn ending(name: &'static str, make: fn(&mut Environment)) -> Fault {
    Fault { name, make, ends_the_bridge: true }
}

/// One at random; where the bridge must live on, one that leaves it alive.
pub(crate) fn any(may_end_the_bridge: bool) -> &'static Fault {
    let possible: Vec<_> = FAULTS.iter().filter(|fault| may_end_the_bridge || !fault.ends_the_bridge).collect();
    possible[fastrand::usize(..possible.len())]
}
