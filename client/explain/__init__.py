"""Where the network looks: Grad-CAM, a myocardial coordinate frame, and pictures."""
