"""DICOM: reading series, writing SEG and SR."""
