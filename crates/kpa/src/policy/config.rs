//! The ConfigMap `config-autoscaler`: its keys, its defaults, what each may be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refusal::{Contradiction, Refusal};
use super::sheet::{self, Sheet};
use super::{Class, Place, TargetBurstCapacity, text};

macro_rules! keys {
    ($($key:ident = $name:literal, $camel:literal, default $default:literal, allowed $allowed:expr;)*) => {
        /// A key of `config-autoscaler`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConfigKey { $(#[doc = concat!("`", $name, "`")] $key,)* }

        impl ConfigKey {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$key,)*];

            /// Its name in the ConfigMap.
            pub fn name(self) -> &'static str {
                match self { $(Self::$key => $name,)* }
            }

            /// Its name in camelCase.
            pub fn camel(self) -> &'static str {
                match self { $(Self::$key => $camel,)* }
            }

            /// What Knative takes where it is not set.
            pub fn default_text(self) -> &'static str {
                match self { $(Self::$key => $default,)* }
            }

            /// What it may be, for a person.
            pub fn allowed(self) -> &'static str {
                match self { $(Self::$key => $allowed,)* }
            }
        }
    };
}

const SWITCH_ALLOWED: &str = "true or false";
const FRACTION_ALLOWED: &str = "more than 0 and at most 100; up to 1 it is a fraction, above a percentage";

keys! {
    Class = "pod-autoscaler-class", "podAutoscalerClass", default "kpa.autoscaling.knative.dev", allowed "any text";
    EnableScaleToZero = "enable-scale-to-zero", "enableScaleToZero", default "true", allowed SWITCH_ALLOWED;
    AllowZeroInitialScale = "allow-zero-initial-scale", "allowZeroInitialScale", default "false", allowed SWITCH_ALLOWED;
    InitialScale = "initial-scale", "initialScale", default "1", allowed sheet::COUNT_ALLOWED;
    MinScale = "min-scale", "minScale", default "0", allowed sheet::COUNT_ALLOWED;
    MaxScale = "max-scale", "maxScale", default "0", allowed sheet::COUNT_ALLOWED;
    MaxScaleLimit = "max-scale-limit", "maxScaleLimit", default "0", allowed sheet::COUNT_ALLOWED;
    ConcurrencyUtilization = "container-concurrency-target-percentage", "containerConcurrencyTargetPercentage",
        default "70", allowed FRACTION_ALLOWED;
    ConcurrencyTarget = "container-concurrency-target-default", "containerConcurrencyTargetDefault",
        default "100", allowed "a number, at least 0.01";
    RpsTarget = "requests-per-second-target-default", "requestsPerSecondTargetDefault",
        default "200", allowed "a number, at least 0.01";
    BurstCapacity = "target-burst-capacity", "targetBurstCapacity", default "211", allowed sheet::BURST_ALLOWED;
    StableWindow = "stable-window", "stableWindow", default "60s", allowed sheet::WINDOW_ALLOWED;
    PanicWindow = "panic-window-percentage", "panicWindowPercentage", default "10", allowed "1 to 100";
    PanicThreshold = "panic-threshold-percentage", "panicThresholdPercentage", default "200", allowed "a number";
    MaxScaleUpRate = "max-scale-up-rate", "maxScaleUpRate", default "1000", allowed "a number above 1";
    MaxScaleDownRate = "max-scale-down-rate", "maxScaleDownRate", default "2", allowed "a number above 1";
    ScaleDownDelay = "scale-down-delay", "scaleDownDelay", default "0s", allowed "0s or more in whole seconds";
    GracePeriod = "scale-to-zero-grace-period", "scaleToZeroGracePeriod", default "30s", allowed "more than 0s";
    Retention = "scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod", default "0s", allowed "0s or more";
    ActivatorCapacity = "activator-capacity", "activatorCapacity", default "100", allowed "a number, at least 1";
}

/// `config-autoscaler`, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who scales what does not say otherwise.
    pub class: Class,
    /// May revisions go to zero at all?
    pub enable_scale_to_zero: bool,
    /// May a revision start at zero?
    pub allow_zero_initial_scale: bool,
    /// What a new revision starts with.
    pub initial_scale: u32,
    /// The least.
    pub min_scale: u32,
    /// The most; 0 for no limit.
    pub max_scale: u32,
    /// The most that `max_scale` may be, here and annotated; 0 for no limit.
    pub max_scale_limit: u32,
    /// Utilisation aimed for where concurrency is measured, a fraction in (0, 1].
    pub concurrency_utilization: f64,
    /// Concurrency per replica where the container has no limit.
    pub concurrency_target: f64,
    /// Requests per second and replica, at least 0.01.
    pub rps_target: f64,
    /// Room for bursts.
    pub burst: TargetBurstCapacity,
    /// Whole seconds, 6 s to 1 h.
    pub stable_window: Duration,
    /// In percent of the stable window, 1 to 100.
    pub panic_window: f64,
    /// In percent. Not bounded here, as in Knative; only its annotation is.
    pub panic_threshold: f64,
    /// Above 1.
    pub max_scale_up_rate: f64,
    /// Above 1.
    pub max_scale_down_rate: f64,
    /// Whole seconds.
    pub scale_down_delay: Duration,
    /// Above zero.
    pub grace_period: Duration,
    /// How long the last replica stays after the revision fell idle.
    pub retention: Duration,
    /// Requests that one activator is good for, at least 1.
    pub activator_capacity: f64,
}

impl Config {
    /// Utilisation aimed for where requests per second are measured. A constant: the configured one is for concurrency.
    pub const RPS_UTILIZATION: f64 = 0.7;

    /// What holds where nothing is configured.
    pub fn knative_defaults() -> Self {
        Self {
            class: Class::Kpa,
            enable_scale_to_zero: true,
            allow_zero_initial_scale: false,
            initial_scale: 1,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            concurrency_utilization: 0.7,
            concurrency_target: 100.0,
            rps_target: 200.0,
            burst: TargetBurstCapacity::Of(211.0),
            stable_window: Duration::from_secs(60),
            panic_window: 10.0,
            panic_threshold: 200.0,
            max_scale_up_rate: 1_000.0,
            max_scale_down_rate: 2.0,
            scale_down_delay: Duration::ZERO,
            grace_period: Duration::from_secs(30),
            retention: Duration::ZERO,
            activator_capacity: 100.0,
        }
    }

    /// All of the ConfigMap's data or nothing, as Knative takes it. Unknown keys are ignored.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, Vec<Refusal<Place>>> {
        sheet::parse(Self::knative_defaults(), data, &(), Place::ConfigAutoscaler)
    }
}

impl Sheet for Config {
    type Key = ConfigKey;
    type Surroundings<'a> = ();

    fn keys() -> &'static [ConfigKey] {
        ConfigKey::ALL
    }

    fn find(key: ConfigKey, values: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
        values.get(key.name()).map(|value| (key.name(), value.as_str()))
    }

    fn set(&mut self, key: ConfigKey, text: &str, (): &()) -> Result<(), String> {
        let or_bounds = || key.allowed().to_owned();
        match key {
            ConfigKey::Class => self.class = Class::from_text(text.trim()),
            ConfigKey::EnableScaleToZero => self.enable_scale_to_zero = text::boolean(text).ok_or_else(or_bounds)?,
            ConfigKey::AllowZeroInitialScale => {
                self.allow_zero_initial_scale = text::boolean(text).ok_or_else(or_bounds)?;
            }
            ConfigKey::InitialScale => {
                let initial = sheet::count(text).filter(|count| 1 <= *count || self.allow_zero_initial_scale);
                self.initial_scale = initial.ok_or_else(|| {
                    "a whole number from 1 to 2147483647; 0 needs allow-zero-initial-scale: \"true\"".to_owned()
                })?;
            }
            ConfigKey::MinScale => self.min_scale = sheet::count(text).ok_or_else(or_bounds)?,
            ConfigKey::MaxScale => self.max_scale = sheet::count(text).ok_or_else(or_bounds)?,
            ConfigKey::MaxScaleLimit => self.max_scale_limit = sheet::count(text).ok_or_else(or_bounds)?,
            ConfigKey::ConcurrencyUtilization => {
                let written = text::number(text).ok_or_else(or_bounds)?;
                let fraction = if 1.0 < written { written / 100.0 } else { written };
                if fraction <= 0.0 || 1.0 < fraction {
                    return Err(or_bounds());
                }
                self.concurrency_utilization = fraction;
            }
            ConfigKey::ConcurrencyTarget => self.concurrency_target = text::number(text).ok_or_else(or_bounds)?,
            ConfigKey::RpsTarget => self.rps_target = sheet::at_least(0.01, text).ok_or_else(or_bounds)?,
            ConfigKey::BurstCapacity => self.burst = sheet::burst(text).ok_or_else(or_bounds)?,
            ConfigKey::StableWindow => self.stable_window = sheet::window(text).ok_or_else(or_bounds)?,
            ConfigKey::PanicWindow => self.panic_window = sheet::within(1.0, 100.0, text).ok_or_else(or_bounds)?,
            ConfigKey::PanicThreshold => self.panic_threshold = text::number(text).ok_or_else(or_bounds)?,
            ConfigKey::MaxScaleUpRate => self.max_scale_up_rate = sheet::more_than(1.0, text).ok_or_else(or_bounds)?,
            ConfigKey::MaxScaleDownRate => {
                self.max_scale_down_rate = sheet::more_than(1.0, text).ok_or_else(or_bounds)?;
            }
            ConfigKey::ScaleDownDelay => {
                let delay = sheet::duration(text).filter(|delay| sheet::is_whole_seconds(*delay));
                self.scale_down_delay = delay.ok_or_else(or_bounds)?;
            }
            ConfigKey::GracePeriod => {
                let grace = sheet::duration(text).filter(|grace| !grace.is_zero());
                self.grace_period = grace.ok_or_else(or_bounds)?;
            }
            ConfigKey::Retention => self.retention = sheet::duration(text).ok_or_else(or_bounds)?,
            ConfigKey::ActivatorCapacity => {
                self.activator_capacity = sheet::at_least(1.0, text).ok_or_else(or_bounds)?
            }
        }
        Ok(())
    }

    fn contradictions(&self) -> Vec<Contradiction<ConfigKey>> {
        use ConfigKey::{ConcurrencyTarget, ConcurrencyUtilization, MaxScale, MaxScaleLimit, MinScale};
        let Self { min_scale: min, max_scale: max, max_scale_limit: limit, .. } = *self;
        let mut found = Vec::new();
        if max != 0 && max < min {
            found.push(Contradiction {
                between: [
                    (MinScale, format!("at most max-scale, which is {max}")),
                    (MaxScale, format!("at least min-scale, which is {min}, or 0 for no limit")),
                ],
            });
        }
        if limit != 0 && !(1..=limit).contains(&max) {
            let of_limit = match max {
                0 => "0 while max-scale is 0, which is no limit".to_owned(),
                max => format!("at least max-scale, which is {max}, or 0 for no limit"),
            };
            found.push(Contradiction {
                between: [
                    (MaxScale, format!("a whole number from 1 to max-scale-limit, which is {limit}")),
                    (MaxScaleLimit, of_limit),
                ],
            });
        }
        let (fraction, target) = (self.concurrency_utilization, self.concurrency_target);
        if fraction * target < 0.01 {
            found.push(Contradiction {
                between: [
                    (ConcurrencyUtilization, format!("a share of the default target, {target}, that is at least 0.01")),
                    (ConcurrencyTarget, format!("a number of which the share aimed for, {fraction}, is at least 0.01")),
                ],
            });
        }
        found
    }

    fn unknown(key: &str) -> Option<&'static str> {
        let names = || ConfigKey::ALL.iter().map(|known| known.name());
        let is_unknown = !key.starts_with('_') && !names().any(|name| name == key);
        is_unknown.then(|| super::refusal::nearest(key, names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, Vec<Refusal<Place>>> {
        Config::parse(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_key_is_accepted_at_its_bounds_and_refused_just_beyond() {
        for (key, good, bad) in [
            ("enable-scale-to-zero", &["true", "f", "0"][..], &["", "yes", " true"][..]),
            ("initial-scale", &["1", "2147483647"], &["0", "-1", "2147483648", "1.0"]),
            ("min-scale", &["0", "+3"], &["-1", ""]),
            ("max-scale", &["0", "2147483647"], &["-1", "2147483648"]),
            ("max-scale-limit", &["0"], &["-1", "x"]),
            ("container-concurrency-target-percentage", &["0.7", "1", "1.5", "100"], &["0", "-1", "100.0001", "NaN"]),
            ("container-concurrency-target-default", &["0.015", "1e3"], &["0.014", "0", "Inf"]),
            ("requests-per-second-target-default", &["0.01"], &["0.00999999", "Inf"]),
            ("target-burst-capacity", &["-1", "0", "0.5"], &["-0.5", "-2", "Inf"]),
            ("stable-window", &["6s", "1h"], &["5s", "6.5s", "1h1s"]),
            ("panic-window-percentage", &["1", "100"], &["0.999", "100.0001"]),
            ("panic-threshold-percentage", &["1", "-1", "5000"], &["", "NaN"]),
            ("max-scale-up-rate", &["1.0000000000000002"], &["1", "0", "Inf"]),
            ("max-scale-down-rate", &["1.0000000000000002"], &["1", "0", "Inf"]),
            ("scale-down-delay", &["0", "2h"], &["-1s", "1.5s"]),
            ("scale-to-zero-grace-period", &["1ns", "1h"], &["0s", "-1s"]),
            ("scale-to-zero-pod-retention-period", &["0s", "1.5s", "2h"], &["-1ns"]),
            ("activator-capacity", &["1"], &["0.999", "Inf"]),
        ] {
            for text in good {
                assert!(parse(&[(key, text)]).is_ok(), "{key}: {text:?} should be accepted");
            }
            for text in bad {
                let refusals = parse(&[(key, text)]).expect_err(text);
                assert!(matches!(&refusals[..], [one] if one.value == *text && one.key == key), "{key}: {refusals:?}");
            }
        }
    }

    #[test]
    fn only_the_class_is_trimmed_and_may_be_empty() {
        assert_eq!(parse(&[("pod-autoscaler-class", " kpa.autoscaling.knative.dev\n")]).unwrap().class, Class::Kpa);
        assert_eq!(parse(&[("pod-autoscaler-class", "")]).unwrap().class, Class::Other(String::new()));
    }

    #[test]
    fn a_share_up_to_one_is_a_fraction_and_above_it_a_percentage() {
        let fraction =
            |text| parse(&[("container-concurrency-target-percentage", text)]).unwrap().concurrency_utilization;
        assert_eq!(["0.7", "70", "1", "1.5"].map(fraction), [0.7, 0.7, 1.0, 0.015]);
    }

    #[test]
    fn zero_to_begin_with_needs_leave() {
        let pairs = [("initial-scale", "0"), ("allow-zero-initial-scale", "true")];
        assert_eq!(parse(&pairs).unwrap().initial_scale, 0);
        assert!(parse(&pairs[..1]).is_err());
    }

    #[test]
    fn a_maximum_lies_between_the_minimum_and_the_limit() {
        assert!(parse(&[("max-scale", "3"), ("min-scale", "3"), ("max-scale-limit", "3")]).is_ok());
        assert!(parse(&[("max-scale", "0"), ("min-scale", "3")]).is_ok());
        assert_eq!(parse(&[("max-scale", "2"), ("min-scale", "3")]).unwrap_err().len(), 2);
        assert_eq!(parse(&[("max-scale", "4"), ("max-scale-limit", "3")]).unwrap_err().len(), 2);
    }

    #[test]
    fn keys_that_mean_nothing_are_passed_over() {
        let parsed = parse(&[("_example", "min-scale: x"), ("tick-interval", "x")]);
        assert_eq!(parsed, Ok(Config::knative_defaults()));
    }
}
