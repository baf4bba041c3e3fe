#!/bin/sh
# Install Orthanc, OHIF and a browser for the tests marked "browser", on Debian, as root.
set -eu
folder=${OHIF_FOLDER:-$HOME/.cache/napari-bayes-nnunet-ohif}
apt-get install --yes --no-install-recommends orthanc orthanc-dicomweb chromium npm
mkdir -p "$folder"
cd "$folder"
npm pack @ohif/app@3.13.2
tar -xzf ohif-app-3.13.2.tgz
python3 -m pip install playwright
