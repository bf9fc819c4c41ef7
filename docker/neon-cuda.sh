# What neon needs for a GPU, run by the Dockerfile in neon's checkout: pycuda, and neon's own kernels, put together from text by its own
# assembler. They are machine code for Maxwell, and there is no assembler of theirs for later chips.

apt-get update
apt-get install -y --no-install-recommends perl python3-setuptools python3-wheel
git init -q /usr/src/maxas
git -C /usr/src/maxas fetch -q --depth 1 "$MAXAS_URL" "$MAXAS_COMMIT"
git -C /usr/src/maxas checkout -q FETCH_HEAD

# No GPU's driver is here: linking and importing get by with the toolkit's stub of it.
mkdir -p /tmp/driver
ln -s "$(find -L "$CUDA_DIR" /usr/lib -name libcuda.so -print -quit)" /tmp/driver/libcuda.so.1
export PATH="/usr/src/maxas/bin:/opt/neon/bin:$CUDA_DIR/bin:$PATH" PERL5LIB=/usr/src/maxas/lib LD_LIBRARY_PATH=/tmp/driver

# Python 3's pip checks the hashes; Python 2.7 itself compiles what has no wheel.
python3 -m pip install --no-cache-dir --quiet --no-deps --no-compile --require-hashes --only-binary=:all: \
    --python-version 2.7 --implementation cp --abi cp27mu --platform manylinux1_x86_64 \
    --target /tmp/cuda-wheels -r /usr/src/neon-cuda.lock
cp -r /tmp/cuda-wheels/. /opt/neon/lib/python2.7/site-packages/
python3 -m pip download --no-cache-dir --quiet --no-deps --no-build-isolation --require-hashes --no-binary=:all: \
    --dest /tmp/cuda -r /usr/src/neon-cuda-source.lock
for source in /tmp/cuda/*.tar.gz; do
    mkdir -p /tmp/source
    tar -xzf "$source" --strip-components=1 -C /tmp/source
    (
        cd /tmp/source
        if [ -f configure.py ]; then
            python2.7 configure.py --cuda-root="$CUDA_DIR"
        fi
        python2.7 setup.py install --single-version-externally-managed --root=/
    )
    rm -rf /tmp/source
done
python2.7 neon/backends/make_kernels.py --kernels
