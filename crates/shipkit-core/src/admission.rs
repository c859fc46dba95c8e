//! Admission: may this release be deployed to this environment, going by the evidence found?
