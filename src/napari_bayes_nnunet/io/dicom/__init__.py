"""DICOM: reading series, writing SEG, RTSTRUCT and SR."""
