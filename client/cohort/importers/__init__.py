"""Importers: each makes a site folder from one way in which cohorts lie on a disk."""

from client.cohort.importers.acdc import import_acdc
from client.cohort.importers.mnms import import_mnms
from client.cohort.importers.result import ImportReport
from client.cohort.importers.sunnybrook import import_sunnybrook
from client.cohort.importers.table import import_table

__all__ = ["ImportReport", "import_acdc", "import_mnms", "import_sunnybrook", "import_table"]
