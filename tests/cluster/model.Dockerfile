# The demo model as an image of its own, for pools whose weights are an image volume.
FROM scratch
COPY services/inference/demo_model/model /demo
