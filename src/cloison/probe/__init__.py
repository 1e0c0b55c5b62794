"""The judge that sends packets and looks where they arrive. It reads nothing that the proof or the renderer made."""
